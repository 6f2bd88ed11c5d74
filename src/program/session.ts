import type { Command } from 'commander';
import type { Context } from '../commands/context.ts';
import { fromEnvironment, readDraft } from '../input/draft.ts';
import type { Draft } from '../input/fields.ts';
import { readSshCommand } from '../input/sshCommand.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import type { Output } from '../output.ts';
import { fieldsOf, givenFlags } from './flags.ts';
import { readName } from './values.ts';
import type { CommandLine } from './words.ts';

/** What the process gives to the program. */
export interface Process {
  readonly argv: readonly string[];
  /** The words that start this program. */
  readonly program: readonly string[];
  readonly machine: Machine;
  readonly who: Identity;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** stdin and stderr are a terminal, so a person can be asked. */
  readonly terminal: boolean;
}

/** What a command gets once it runs. The tree of commands is made without it. */
export interface Session {
  readonly context: Context;
  /** The words of the command line that are ours. */
  readonly words: readonly string[];
  /** What follows `--`. */
  readonly sshCommand: readonly string[] | undefined;
  /** What was asked for in the ssh command, the environment, the flags and as NAME. */
  readonly draftOf: (command: Command, name?: string) => Promise<Draft>;
}

/** The session of one command line. */
export function openSession(proc: Process, { ours: words, sshCommand }: CommandLine, output: Output): Session {
  const { machine, who, cwd, signal } = proc;
  const context: Context = { machine, who, output, cwd, typed: [...proc.program, ...proc.argv], signal, interactive: proc.terminal };
  const draftOf = async (command: Command, name?: string): Promise<Draft> => {
    const draft = readDraft({ cwd, home: who.home }, fromEnvironment(who.env, fieldsOf(command)), givenFlags(command));
    const named = name === undefined ? draft : { ...draft, name: readName(name, draft.name) };
    return sshCommand === undefined ? named : { ...(await readSshCommand(sshCommand, machine, who, { cwd, home: who.home })), ...named };
  };
  return { context, words, sshCommand, draftOf };
}
