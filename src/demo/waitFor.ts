import { lookUntil } from '../machine/lookUntil.ts';

/**
 * Asks again and again until the answer is yes.
 * @param limit milliseconds
 * @param signal ends the waiting early
 * @returns the last answer
 */
export const waitFor = (isSo: () => Promise<boolean>, limit: number, signal?: AbortSignal): Promise<boolean> =>
  lookUntil((answer) => answer, isSo, { limit, every: 30, ...(signal && { signal }) });
