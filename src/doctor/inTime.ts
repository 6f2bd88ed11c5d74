import { cancelled } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';

/**
 * The same machine, whose programs are ended with the time for all of it, and then throw as cancelled: what one said
 * that we ended is no answer.
 */
export function inTime(machine: Machine, signal: AbortSignal): Machine {
  return {
    ...machine,
    async run(argv, options = {}) {
      if (signal.aborted) throw cancelled();
      const result = await machine.run(argv, { ...options, signal: options.signal ? AbortSignal.any([options.signal, signal]) : signal });
      if (signal.aborted) throw cancelled();
      return result;
    },
  };
}

/** The same machine, each of whose programs has to end within a time (milliseconds). */
export const hurried = (machine: Machine, timeoutMs: number): Machine => ({
  ...machine,
  run: (argv, options) => machine.run(argv, { ...options, timeoutMs: Math.min(timeoutMs, options?.timeoutMs ?? timeoutMs) }),
});
