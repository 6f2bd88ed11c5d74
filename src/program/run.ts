import { CommanderError } from 'commander';
import { AlreadyTold, cancelled, ExitCode, ExpectedError, usage } from '../errors.ts';
import { makeOutput, type Output } from '../output.ts';
import { openSession, type Process } from './session.ts';
import { commandTree } from './tree.ts';
import { commandFirst, splitAtDashes, wantsJson, wantsQuiet } from './words.ts';

/** Runs one command line. The last place that catches: an error becomes a message, a hint and an exit code. */
export async function run(proc: Process): Promise<number> {
  const line = splitAtDashes(proc.argv);
  const output = makeOutput(wantsJson(line.ours, proc.who), wantsQuiet(line.ours, proc.who));
  try {
    const program = commandTree(() => openSession(proc, line, output));
    await program.parseAsync(commandFirst(line.ours, program), { from: 'user' });
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
