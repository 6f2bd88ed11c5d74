import { setTimeout as sleep } from 'node:timers/promises';

/** How long to look, in milliseconds; the time that a look takes itself is not counted. */
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
  let seen = await look();
  for (let waited = 0; !isSettled(seen) && waited < limit && signal?.aborted !== true; waited += every) {
    await sleep(every);
    seen = await look();
  }
  return seen;
}
