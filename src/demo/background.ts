import type { Machine } from '../machine/machine.ts';

/** A program that runs until it is told to end. */
export interface Background {
  /** What it has written to stderr so far. */
  said(): string;
  hasEnded(): boolean;
  /** SIGTERM, and a second later SIGKILL; resolves when it has ended. */
  stop(): Promise<void>;
}

/**
 * Starts a program away from the terminal, so that Ctrl-C reaches us alone and we end it in order. Should we be killed,
 * the kernel sends it SIGTERM.
 * @param more for setpriv(1): as whom to run
 */
export function startInBackground(machine: Machine, argv: readonly string[], env: Readonly<Record<string, string>> = {}, more: readonly string[] = []): Background {
  const stopping = new AbortController();
  let said = '';
  let ended = false;
  const running = machine
    .run(['setsid', 'setpriv', '--pdeathsig', 'TERM', ...more, '--', ...argv], {
      env, holdInput: true, signal: stopping.signal,
      stopWhen: (stderr) => {
        said = stderr;
        return false;
      },
    })
    .then(({ stderr }) => {
      said = stderr;
      ended = true;
    });
  return {
    said: () => said,
    hasEnded: () => ended,
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}
