import { sleep } from '../lab/waitFor.ts';

/** A stretch of time in which no one else ends a fault, so that nothing of ours slows the recovery. */
export interface Slot {
  /** By performance.now(). */
  readonly starts: number;
  release(): void;
}

/** Hands out the machine's time, so that several labs can wait side by side and yet recover one after the other. */
export class Calendar {
  #taken: { starts: number; ends: number }[] = [];
  #waiting: (() => void)[] = [];

  /** Resolves when a slot is free that starts in `leadMs`; it is the caller's for `lengthMs`, unless released before. */
  async reserve(leadMs: number, lengthMs: number): Promise<Slot> {
    for (;;) {
      const now = performance.now();
      const starts = this.#earliest(now + leadMs, lengthMs);
      if (starts <= now + leadMs) return this.#take(starts, lengthMs);
      // Whoever releases a slot before its end makes room for one that waits.
      await Promise.race([sleep(starts - leadMs - now), new Promise<void>((resolve) => this.#waiting.push(resolve))]);
    }
  }

  #earliest(from: number, lengthMs: number): number {
    let starts = from;
    for (const taken of this.#taken.toSorted((a, b) => a.starts - b.starts)) {
      if (taken.starts < starts + lengthMs && starts < taken.ends) starts = taken.ends;
    }
    return starts;
  }

  #take(starts: number, lengthMs: number): Slot {
    const entry = { starts, ends: starts + lengthMs };
    this.#taken = [...this.#taken.filter(({ ends }) => ends > performance.now()), entry];
    return {
      starts,
      release: () => {
        entry.ends = Math.min(entry.ends, performance.now());
        for (const wake of this.#waiting.splice(0)) wake();
      },
    };
  }
}

/** Resolves at a moment of performance.now(). */
export const until = (moment: number) => sleep(Math.max(0, moment - performance.now()));
