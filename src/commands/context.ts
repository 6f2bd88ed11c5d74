import type { Identity, Machine } from '../machine/machine.ts';
import type { Output } from '../output.ts';

/** What every command is handed: the machine, who asks, where words go. */
export interface Context {
  readonly machine: Machine;
  readonly who: Identity;
  readonly output: Output;
  readonly cwd: string;
  /** The command as it was typed, program first, to be printed again with sudo. */
  readonly typed: readonly string[];
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** Whether a person can be asked. */
  readonly interactive: boolean;
}
