import type { Command } from 'commander';
import { type ExpectedError, usage } from '../errors.ts';
import { isSet } from '../input/draft.ts';
import { FIELDS, isSwitch } from '../input/fields.ts';
import type { Identity } from '../machine/machine.ts';

/** Our words, and those of the ssh command after `--`. */
export interface CommandLine {
  readonly ours: readonly string[];
  readonly sshCommand: readonly string[] | undefined;
}

/** Divides the command line at its first `--`. */
export function splitAtDashes(argv: readonly string[]): CommandLine {
  const at = argv.indexOf('--');
  return at === -1 ? { ours: argv, sshCommand: undefined } : { ours: argv.slice(0, at), sshCommand: argv.slice(at + 1) };
}

/** Whether --json was asked for, which has to be known before anything is parsed: an error in the parsing heeds it. */
export const wantsJson = (words: readonly string[], { env }: Identity) => words.includes('--json') || isSet(env['REVTUN_JSON']);

/** The same of --quiet. */
export const wantsQuiet = (words: readonly string[], { env }: Identity) =>
  words.includes('--quiet') || words.some((word) => /^-[a-z]*q/.test(word)) || isSet(env['REVTUN_QUIET']);

/** Switches may stand before the command too, as in `revtun-setup --json list`. */
export function commandFirst(words: readonly string[], program: Command): string[] {
  const at = words.findIndex((word) => !word.startsWith('-'));
  const before = words.slice(0, at);
  const areSwitches = before.every((word) => FIELDS.some((field) => isSwitch(field) && field.flags.split(', ').includes(word)));
  const command = below(program, words[at]);
  if (at < 1 || command === undefined || !areSwitches) return [...words];
  const end = at + (below(command, words[at + 1]) === undefined ? 1 : 2);
  return [...words.slice(at, end), ...before, ...words.slice(end)];
}

const below = (command: Command, name: string | undefined) => command.commands.find((one) => one.name() === name);

/** The commands below one, as they are typed. */
export const typedBelow = (command: Command, words: string) => command.commands.map((one) => `${words} ${one.name()}`).join(', ');

/** `revtun-setup stauts` would be a tunnel called "stauts" without a host; nobody means that. */
export function mistyped(program: Command, name: string): ExpectedError {
  const commands = program.commands.map((command) => command.name());
  return usage(`There is no command "${name}". The commands are ${commands.join(', ')}.`, `To install a tunnel of that name: revtun-setup install ${name} --host …`);
}
