import { cancelled, ExpectedError, failed } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { commandLine } from '../shell.ts';
import { type Step, titleOf } from './step.ts';

export interface RunHooks {
  /** Called when a step is done. */
  readonly onDone: (title: string) => void;
  /** Called with what a person has to know: a step that may fail did, or something could not be undone. */
  readonly onNotice: (message: string) => void;
  /** Called when a failed run could not undo all that it had done. */
  readonly onHalfUndone?: () => void;
  /** Looked at between steps; when it is aborted, what was done is undone. */
  readonly signal?: AbortSignal;
}

/** What was carried out, and the way back. */
export interface Carried {
  /** @returns whether all of it could be undone */
  undo(): Promise<boolean>;
}

/**
 * Carries out a plan. When a step fails, or on an abort, everything done so far is undone in reverse order.
 * @throws ExpectedError naming the step and what it said; nothing is left half-way then
 */
export async function runSteps(machine: Machine, steps: readonly Step[], hooks: RunHooks): Promise<Carried> {
  const undos: (() => Promise<void>)[] = [];
  const undo = async () => {
    let whole = true;
    for (const back of undos.splice(0).toReversed()) {
      try {
        await back();
      } catch (error) {
        whole = false;
        hooks.onNotice(`could not be undone: ${messageOf(error)}`);
      }
    }
    return whole;
  };
  try {
    for (const step of steps) {
      if (hooks.signal?.aborted === true) throw cancelled();
      const done = await carryOut(machine, step, undos, hooks);
      const title = titleOf(step);
      if (done && title !== undefined) hooks.onDone(title);
    }
    if (hooks.signal?.aborted === true) throw cancelled();
  } catch (error) {
    if (!(await undo())) hooks.onHalfUndone?.();
    throw explain(error);
  }
  return { undo };
}

/**
 * The way back is registered before the way forth is gone: a step that fails in its middle is undone as well.
 * @returns whether it was done, which only a step with `orElse` may answer with no
 */
async function carryOut(machine: Machine, step: Step, undos: (() => Promise<void>)[], hooks: RunHooks): Promise<boolean> {
  switch (step.kind) {
    case 'make-directory':
      await machine.makeDirectory(step.path, step.mode);
      undos.push(async () => void (await machine.removeEmptyDirectory(step.path)));
      return true;
    case 'write':
    case 'remove': {
      const [old, stat] = await Promise.all([machine.read(step.path), machine.stat(step.path)]);
      undos.push(async () => {
        if (old && stat) await putBack(machine, step.path, old, stat.mode);
        else await machine.remove(step.path);
        if (step.settle) await command(machine, step.settle, true);
      });
      if (step.kind === 'write') await machine.write(step.path, step.content, step.mode);
      else await machine.remove(step.path);
      if (step.settle && !(step.kind === 'write' && step.settledLater === true)) {
        if (step.guarded) await command(machine, step.guarded);
        await command(machine, step.settle);
      }
      return true;
    }
    case 'remove-directory': {
      const stat = await machine.stat(step.path);
      if (!stat || !(await machine.removeEmptyDirectory(step.path))) return false;
      undos.push(() => machine.makeDirectory(step.path, stat.mode));
      return true;
    }
    case 'run': {
      const { undo, orElse } = step;
      if (orElse !== undefined && (await machine.run(step.argv, { timeoutMs: COMMAND_LIMIT })).code !== 0) {
        hooks.onNotice(orElse);
        return false;
      }
      if (undo) undos.push(() => command(machine, undo, true));
      if (orElse === undefined) await command(machine, step.argv, step.outlivesSession, hooks.signal);
      return true;
    }
    case 'on-undo':
      undos.push(() => command(machine, step.argv, true));
      return true;
    case 'new-login':
      await machine.reconnect();
      return true;
  }
}

/** A write that came to nothing needs no room on a disk that is full. */
async function putBack(machine: Machine, path: string, old: Buffer, mode: number): Promise<void> {
  const [now, stat] = await Promise.all([machine.read(path), machine.stat(path)]);
  if (stat?.kind !== 'file' || stat.mode !== mode || now?.equals(old) !== true) await machine.write(path, old, mode);
}

/**
 * Milliseconds. The longest honest command is a restart: what runs may take the unit's TimeoutStopSec= to end, a start its
 * TimeoutStartSec=, and one that failed TimeoutStopSec= once more. With less, systemd's own words would come too late.
 */
const COMMAND_LIMIT = 120_000;

/**
 * @param apart out of reach of the terminal, for the way back, which a second Ctrl-C must not cut off, and for what makes the
 *   terminal hang up; what should end on Ctrl-C all the same is given the signal
 */
async function command(machine: Machine, argv: readonly string[], apart = false, signal?: AbortSignal): Promise<void> {
  const { code, stderr, timedOut } = await machine.run(argv, { timeoutMs: COMMAND_LIMIT, apart, ...(apart && signal && { signal }) });
  if (code === 0) return;
  const said = timedOut ? `no end after ${COMMAND_LIMIT / 1000} s` : stderr.trim() || `exit code ${code}`;
  throw failed('step-failed', `${commandLine(argv)}: ${said}`);
}

function explain(error: unknown): Error {
  if (error instanceof ExpectedError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  // Only what the system refused is expected here; the rest is a bug and keeps its trace.
  return code === undefined ? (error as Error) : failed('step-failed', messageOf(error));
}

const messageOf = (error: unknown) => (error as Error).message;
