import { setMaxListeners } from 'node:events';
import type { Machine } from '../machine/machine.ts';

/** Thrown in place of an answer that did not come within the time for all of it, or before Ctrl-C. It is nobody's fault. */
export class CutShort extends Error {
  override readonly name = 'CutShort';
}

/**
 * The same machine, but whatever is asked of it ends with the time for all of it, and then throws {@link CutShort}: what
 * a program said that we ended is no answer. A file is first read by a program: of one on a network file system that
 * does not answer any more we could never be rid ourselves, as it keeps the whole process from ending.
 */
export function inTime(machine: Machine, signal: AbortSignal): Machine {
  setMaxListeners(0, signal); // so much may be asked at once
  const within = <T>(work: () => Promise<T>) => orCutShort(signal, work);
  const run: Machine['run'] = (argv, options = {}) =>
    within(() => machine.run(argv, { ...options, signal: options.signal ? AbortSignal.any([options.signal, signal]) : signal }));
  const probes = new Map<string, Promise<unknown>>();
  const answers = async (path: string) => {
    if (OF_THE_SYSTEM.test(path)) return;
    // Without waiting for whoever writes to a FIFO. What it says of the file does not matter: it has come back.
    if (!probes.has(path)) probes.set(path, run(['dd', `if=${path}`, 'of=/dev/null', 'bs=1', 'count=1', 'iflag=nonblock']));
    await probes.get(path);
  };
  const onceItAnswers = <T>(path: string, look: () => Promise<T>) => within(async () => {
    await answers(path);
    return look();
  });
  return {
    ...machine,
    run,
    read: (path) => onceItAnswers(path, () => machine.read(path)),
    stat: (path) => onceItAnswers(path, () => machine.stat(path)),
    list: (path) => onceItAnswers(path, () => machine.list(path)),
    dial: (...asked) => within(() => machine.dial(...asked)),
  };
}

/** What the kernel keeps, and what lies on the disk that everything here runs from: without it, nothing would get this far. */
const OF_THE_SYSTEM = /^\/(proc|sys|run|etc|usr|var)\//;

async function orCutShort<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const end = new AbortController();
  const ended = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new CutShort()), { once: true, signal: end.signal });
  });
  try {
    if (signal.aborted) throw new CutShort();
    return await Promise.race([ended, work()]);
  } finally {
    end.abort();
  }
}

/** The same machine, each of whose programs has to end within a time (milliseconds). */
export const hurried = (machine: Machine, timeoutMs: number): Machine => ({
  ...machine,
  run: (argv, options) => machine.run(argv, { ...options, timeoutMs: Math.min(timeoutMs, options?.timeoutMs ?? timeoutMs) }),
});
