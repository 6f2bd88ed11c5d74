import { Command, CommanderError, Option } from 'commander';
import type { Context } from './commands/context.ts';
import { AlreadyTold, cancelled, ExitCode, ExpectedError, usage } from './errors.ts';
import { fromEnvironment, type Given, isSet, readDraft } from './input/draft.ts';
import { type Draft, type Field, FIELDS, isSwitch } from './input/fields.ts';
import { readSshCommand } from './input/sshCommand.ts';
import type { Identity, Machine } from './machine/machine.ts';
import { makeOutput, type Output } from './output.ts';
import { version } from './package.ts';
import { addServerCommands, SERVER_COMMANDS } from './serverProgram.ts';
import { parseName } from './tunnel/tunnel.ts';

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

/** Runs one command line. The last place that catches: an error becomes a message, a hint and an exit code. */
export async function run(proc: Process): Promise<number> {
  const { ours, sshCommand } = splitAtDashes(proc.argv);
  const output = makeOutput(wants('--json', 'REVTUN_JSON', ours, proc), wants('--quiet', 'REVTUN_QUIET', ours, proc) || ours.some((word) => /^-[a-z]*q/.test(word)));
  try {
    const program = commandTree(proc, output, sshCommand, ours);
    await program.parseAsync(commandFirst(ours, program), { from: 'user' });
    return ExitCode.done;
  } catch (error) {
    return report(proc, output, error);
  }
}

function report(proc: Process, output: Output, error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.done; // --help, --version
  if (error instanceof AlreadyTold) return error.exitCode;
  const told = expected(proc, error);
  output.object({ ok: false, changed: told.changed, error: { code: told.id, message: told.message, hint: told.hint } });
  output.notice(`revtun-setup: ${told.message}`);
  if (told.hint !== '') output.notice(told.hint);
  return told.exitCode;
}

function expected({ signal }: Process, error: unknown): ExpectedError {
  if (error instanceof ExpectedError && error.changed) return error;
  if (signal.aborted) return cancelled();
  if (error instanceof ExpectedError) return error;
  if (error instanceof CommanderError) return usage(error.message.replace(/^error: /, ''), 'See revtun-setup --help.');
  if ((error as Error).name === 'ExitPromptError') return cancelled();
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== undefined) return new ExpectedError(ExitCode.failed, 'system', message, 'Nothing of yours was overwritten. Mend that, and run this again.');
  return new ExpectedError(
    ExitCode.failed, 'bug', `This is a bug in revtun-setup: ${message}`,
    process.env['REVTUN_DEBUG'] === undefined ? 'Please report it. With REVTUN_DEBUG=1 it says where.' : ((error as Error).stack ?? ''),
  );
}

export function commandTree(proc: Process, output: Output, sshCommand: readonly string[] | undefined, words: readonly string[]): Command {
  const { machine, who, cwd, signal } = proc;
  const context: Context = { machine, who, output, cwd, typed: [...proc.program, ...proc.argv], signal, interactive: proc.terminal };
  const environment = fromEnvironment(who.env);
  const draftOf = async (command: Command, name?: string): Promise<Draft> => {
    const draft = readDraft({ cwd, home: who.home }, environment, givenFlags(command));
    const named = name === undefined ? draft : { ...draft, name: readName(name, draft.name) };
    return sshCommand === undefined ? named : { ...(await readSshCommand(sshCommand, machine, who, { cwd, home: who.home })), ...named };
  };

  const program = new Command('revtun-setup')
    .description('Makes this machine reachable through a server, for good: an ssh reverse tunnel as a systemd service, proven to work.')
    .version(version(), '-V, --version')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError()
    .helpCommand(false)
    .addHelpText('after', HELP_AFTER);

  withFields(program.command('install', { isDefault: true }), FIELDS)
    .argument('[NAME]', 'what to call the tunnel')
    .summary('plan, install, enable, start and verify one tunnel (the default)')
    .description('Install, enable, start and verify one tunnel. Without arguments on a terminal: a wizard.\nAn ssh command can be made permanent as it stands: revtun-setup install home -- ssh -NTR 22222:localhost:22 tunl.example.com')
    .action(async (name: string | undefined, _options, command: Command) => {
      const draft = await draftOf(command, name);
      if (name !== undefined && (draft.host ?? draft.serverAdmin) === undefined && !words.includes('install')) throw mistyped(program, name);
      const asksNothing = words.every((word) => word === 'install') && sshCommand === undefined;
      if (draft.wizard === true || (asksNothing && proc.terminal)) {
        if (!proc.terminal) throw usage('--wizard: there is no terminal to ask on.', 'Say it with flags: revtun-setup --help');
        const { wizard } = await import('./commands/wizard/wizard.ts');
        return wizard(context, draft);
      }
      if (draft.serverAdmin) {
        const { installBoth } = await import('./commands/install/both.ts');
        return installBoth(context, draft);
      }
      const { install } = await import('./commands/install/install.ts');
      return install(context, draft);
    });

  withFields(program.command('uninstall'), only('serverAdmin', 'scope', 'acceptRisk', 'dryRun', 'json', 'quiet', 'yes'))
    .argument('[NAME...]', 'which tunnels')
    .option('--all', 'every tunnel of the scope')
    .summary('stop, disable and remove; says what it left on purpose')
    .action(async (names: string[], { all }: { all?: boolean }, command: Command) => {
      const draft = await draftOf(command);
      const meant = (names.length > 0 || all === true || draft.name === undefined ? names : [draft.name]).map((name) => readName(name));
      if (draft.serverAdmin) {
        const { uninstallBoth } = await import('./commands/install/uninstallBoth.ts');
        return uninstallBoth(context, meant, all === true, draft);
      }
      const { uninstall } = await import('./commands/install/uninstall.ts');
      return uninstall(context, meant, all === true, draft);
    });

  withFields(program.command('confirm'), only('scope', 'json', 'quiet'))
    .argument('[NAME]', 'which tunnel')
    .summary('keep a change of the tunnel that you came through')
    .description('Keep a change that was made through the tunnel itself. Unless it is confirmed within a minute, from a new login, the former tunnel comes back.')
    .action(async (name: string | undefined, _options, command: Command) => {
      const draft = await draftOf(command);
      const { confirm } = await import('./commands/install/confirm.ts');
      await confirm(context, name ?? draft.name, draft);
    });

  withFields(program.command('list'), only('json', 'quiet'))
    .summary('every tunnel of ours on this machine, with its state')
    .action(async () => {
      const { list } = await import('./commands/list.ts');
      await list(context);
    });

  withFields(program.command('status'), only('scope', 'json', 'quiet', 'noVerify'))
    .argument('[NAME]', 'which tunnel')
    .option('--watch', 'show it as it changes, until Ctrl-C')
    .option('--wait <SECONDS>', 'wait until it is proven (with --no-verify: up), or fail', readSeconds)
    .summary('one tunnel: is it up, and does a connection come back here')
    .action(async (name: string | undefined, { watch, wait }: { watch?: boolean; wait?: number }, command: Command) => {
      const draft = await draftOf(command);
      if (watch === true && wait !== undefined) throw usage('--watch ends with Ctrl-C, --wait by itself: give one of the two.');
      if (watch === true) return (await import('./commands/status/watch.ts')).statusWatch(context, name ?? draft.name, draft);
      if (wait !== undefined) return (await import('./commands/status/wait.ts')).statusWait(context, name ?? draft.name, draft, wait);
      const { status } = await import('./commands/status/status.ts');
      await status(context, name ?? draft.name, draft);
    });

  withFields(program.command('doctor'), only('scope', 'json', 'quiet', 'yes', 'dryRun', 'acceptRisk'))
    .argument('[NAME]', 'which tunnel')
    .option('--fix', 'do what mends it and is safe to do here')
    .option('--explain <ID>', 'what a finding means: symptom, cause and cure')
    .summary('why a tunnel does not work: the cause, in words, with the cure')
    .action(async (name: string | undefined, { fix, explain: id }: { fix?: boolean; explain?: string }, command: Command) => {
      const draft = await draftOf(command);
      if (id !== undefined) return (await import('./commands/doctor/explain.ts')).explain(context, id);
      if (fix === true) return (await import('./commands/doctor/fix.ts')).doctorFix(context, name ?? draft.name, draft);
      return (await import('./commands/doctor/doctor.ts')).doctor(context, name ?? draft.name, draft);
    });

  withFields(program.command('logs'), only('scope', 'json', 'quiet'))
    .argument('[NAME]', 'which tunnel')
    .option('-f, --follow', 'go on as it grows')
    .option('-n, --lines <N>', 'how many lines', readLines, '50')
    .summary("a tunnel's journal")
    .action(async (name: string | undefined, { follow, lines }: { follow?: boolean; lines: string }, command: Command) => {
      const draft = await draftOf(command);
      const { logs } = await import('./commands/logs.ts');
      await logs(context, name ?? draft.name, follow === true, lines, draft);
    });

  withFields(program.command('render'), FIELDS.filter(({ group, key }) => group !== 'run' || key === 'json' || key === 'quiet'))
    .argument('[NAME]', 'what to call the tunnel')
    .option('--output <DIR>', 'write them there instead')
    .summary('print the files that install would write; touches nothing')
    .action(async (name: string | undefined, { output: directory }: { output?: string }, command: Command) => {
      const draft = await draftOf(command, name);
      const { render } = await import('./commands/render.ts');
      await render(context, directory ?? (who.env['REVTUN_OUTPUT'] || undefined), draft);
    });

  withFields(program.command('demo'), only('json', 'quiet'))
    .summary('show it all on this machine: no server, no root, nothing left behind')
    .action(async () => {
      const { demo } = await import('./commands/demo/demo.ts');
      await demo(context);
    });

  addServerCommands(program, { context, draftOf, withFields });
  return program;
}

const HELP_AFTER = `
Flags of install are also environment variables: --remote-port is
REVTUN_REMOTE_PORT.
Exit codes: 0 done or nothing to do, 1 failed and undone, 2 wrong input, 3 no
such tunnel or not running, 4 a person is needed, 130 cancelled.

  revtun-setup                                   a wizard asks for everything
  revtun-setup --host pi@tunl.example.com --remote-port 22222
  revtun-setup install home -- ssh -NTR 22222:localhost:22 tunl.example.com
  revtun-setup uninstall home
`;

const TITLES: Readonly<Record<Field['group'], string>> = {
  server: 'Server and key:', forwards: 'What to forward:', trust: 'Trust:', service: 'Service:', run: 'This run:',
};

function withFields(command: Command, fields: readonly Field[]): Command {
  for (const field of fields) {
    const option = new Option(field.flags, field.help).helpGroup(TITLES[field.group]);
    if (!isSwitch(field)) option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
    command.addOption(option);
  }
  return command.exitOverride().configureOutput({ outputError: () => undefined }).showSuggestionAfterError();
}

const only = (...keys: (keyof Draft)[]) => FIELDS.filter(({ key }) => keys.includes(key));

/** Texts of the flags that stand on the command line. */
function givenFlags(command: Command): ReadonlyMap<Field, Given> {
  const given = new Map<Field, Given>();
  for (const option of command.options) {
    const field = FIELDS.find(({ flags }) => flags === option.flags);
    const name = option.attributeName();
    if (!field || command.getOptionValueSource(name) !== 'cli') continue;
    given.set(field, { from: option.long ?? option.flags, texts: isSwitch(field) ? [] : command.getOptionValue(name) as string[] });
  }
  return given;
}

function readName(text: string, fromFlag?: string): string {
  try {
    const name = parseName(text);
    if (fromFlag !== undefined && fromFlag !== name) throw usage(`NAME is ${name}, but --name says ${fromFlag}`);
    return name;
  } catch (error) {
    throw error instanceof ExpectedError ? error : usage(`NAME: ${(error as Error).message}`);
  }
}

function readLines(text: string): string {
  if (!/^\d{1,7}$/.test(text)) throw usage(`--lines: ${JSON.stringify(text)} is not a number of lines`);
  return text;
}

function readSeconds(text: string): number {
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > WEEK) throw usage(`--wait: ${JSON.stringify(text)} is not a number of seconds from 1 to ${WEEK}`);
  return seconds;
}

const WEEK = 604_800;

/** `revtun-setup stauts` would be a tunnel called "stauts" without a host; nobody means that. */
function mistyped(program: Command, name: string): ExpectedError {
  const commands = program.commands.map((command) => command.name());
  return usage(`There is no command "${name}". The commands are ${commands.join(', ')}.`, `To install a tunnel of that name: revtun-setup install ${name} --host …`);
}

/** Switches may stand before the command too, as in `revtun-setup --json list`. */
function commandFirst(words: readonly string[], program: Command): string[] {
  const at = words.findIndex((word) => !word.startsWith('-'));
  const isCommand = program.commands.some((command) => command.name() === words[at]);
  const before = words.slice(0, at);
  const areSwitches = before.every((word) => FIELDS.some((field) => isSwitch(field) && field.flags.split(', ').includes(word)));
  const length = words[at] === 'server' && SERVER_COMMANDS.includes(words[at + 1] ?? '') ? 2 : 1;
  return at > 0 && isCommand && areSwitches ? [...words.slice(at, at + length), ...before, ...words.slice(at + length)] : [...words];
}

/** Our words, and the ssh command after `--`. */
function splitAtDashes(argv: readonly string[]): { ours: readonly string[]; sshCommand: readonly string[] | undefined } {
  const at = argv.indexOf('--');
  return at === -1 ? { ours: argv, sshCommand: undefined } : { ours: argv.slice(0, at), sshCommand: argv.slice(at + 1) };
}

/** Needed before anything is parsed: an error in the parsing has to come out in the form that was asked for. */
function wants(flag: string, variable: string, words: readonly string[], { who }: Process): boolean {
  return words.includes(flag) || isSet(who.env[variable]);
}
