import { setTimeout as sleep } from 'node:timers/promises';

/** How long to look, in milliseconds, the time that the looks take among it; one that is under way is not cut short. */
export interface Patience {
  readonly limit: number;
  readonly every: number;
  readonly signal?: AbortSignal;
}

/**
 * Looks until it is settled or the time is over: what somebody else, or systemd, is changing at this moment.
 * @returns what was seen last, settled or not
 */
export async function lookUntil<T>(isSettled: (seen: T) => boolean, look: () => Promise<T>, { limit, every, signal }: Patience): Promise<T> {
  const end = performance.now() + limit;
  let seen = await look();
  while (!isSettled(seen) && performance.now() < end && signal?.aborted !== true) {
    await sleep(every);
    seen = await look();
  }
  return seen;
}
