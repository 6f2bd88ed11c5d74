import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks again and again until the answer is yes.
 * @param limit milliseconds
 * @param signal ends the waiting early, as a no
 * @returns the last answer
 */
export async function waitFor(isSo: () => Promise<boolean>, limit: number, signal?: AbortSignal): Promise<boolean> {
  const end = performance.now() + limit;
  for (;;) {
    if (await isSo()) return true;
    if (performance.now() > end || signal?.aborted === true) return false;
    await sleep(30);
  }
}
