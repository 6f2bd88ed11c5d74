export type WaitOptions = {
  timeoutMs?: number;
  /** Between two calls; without it 50 ms, and more the longer it takes: looking keeps a busy machine from getting there. */
  everyMs?: number;
  what?: string;
};

/**
 * Calls `probe` until it gives something truthy, and returns that.
 * A probe that throws counts as "not yet"; its last error is told if time runs out.
 */
export async function waitFor<T>(probe: () => T | Promise<T>, options: WaitOptions = {}): Promise<Exclude<Awaited<T>, Falsy>> {
  const { timeoutMs = 10_000, everyMs, what = 'the condition' } = options;
  const begin = Date.now();
  const end = begin + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value as Exclude<Awaited<T>, Falsy>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() >= end) {
      throw new Error(`waited ${timeoutMs} ms in vain for ${what}`, lastError === undefined ? {} : { cause: lastError });
    }
    await sleep(everyMs ?? Math.max(50, (Date.now() - begin) / 10));
  }
}

/** Resolves after so many milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

type Falsy = false | 0 | '' | null | undefined | void;
