import type { Command } from 'commander';
import { usage } from '../errors.ts';
import { only, withFields } from './flags.ts';
import type { Session } from './session.ts';
import { readLines, readSeconds } from './values.ts';

/** What tells of tunnels that are installed. */
export function addLookCommands(program: Command, session: () => Session): void {
  withFields(program.command('list'), only('json', 'quiet'))
    .summary('every tunnel of ours on this machine, with its state')
    .action(async () => {
      const { context } = session();
      const { list } = await import('../commands/list.ts');
      await list(context);
    });

  withFields(program.command('status'), only('scope', 'json', 'quiet', 'noVerify'))
    .argument('[NAME]', 'which tunnel')
    .option('--watch', 'show it as it changes, until Ctrl-C')
    .option('--wait <SECONDS>', 'wait until it is proven (with --no-verify: up), or fail', readSeconds)
    .summary('one tunnel: is it up, and does a connection come back here')
    .action(async (name: string | undefined, { watch, wait }: { watch?: boolean; wait?: number }, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command);
      if (watch === true && wait !== undefined) throw usage('--watch ends with Ctrl-C, --wait by itself: give one of the two.');
      if (watch === true) return (await import('../commands/status/watch.ts')).statusWatch(context, name ?? draft.name, draft);
      if (wait !== undefined) return (await import('../commands/status/wait.ts')).statusWait(context, name ?? draft.name, draft, wait);
      const { status } = await import('../commands/status/status.ts');
      await status(context, name ?? draft.name, draft);
    });

  withFields(program.command('doctor'), only('scope', 'json', 'quiet', 'yes', 'dryRun', 'acceptRisk'))
    .argument('[NAME]', 'which tunnel')
    .option('--fix', 'do what mends it and is safe to do here')
    .option('--explain <ID>', 'what a finding means: symptom, cause and cure')
    .summary('why a tunnel does not work: the cause, in words, with the cure')
    .action(async (name: string | undefined, { fix, explain: id }: { fix?: boolean; explain?: string }, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command);
      if (id !== undefined) return (await import('../commands/doctor/explain.ts')).explain(context, id);
      if (fix === true) return (await import('../commands/doctor/fix.ts')).doctorFix(context, name ?? draft.name, draft);
      return (await import('../commands/doctor/doctor.ts')).doctor(context, name ?? draft.name, draft);
    });

  withFields(program.command('logs'), only('scope', 'json', 'quiet'))
    .argument('[NAME]', 'which tunnel')
    .option('-f, --follow', 'go on as it grows')
    .option('-n, --lines <N>', 'how many lines', readLines, '50')
    .summary("a tunnel's journal")
    .action(async (name: string | undefined, { follow, lines }: { follow?: boolean; lines: string }, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command);
      const { logs } = await import('../commands/logs.ts');
      await logs(context, name ?? draft.name, follow === true, lines, draft);
    });
}
