import { setTimeout as sleep } from 'node:timers/promises';
import { inTime } from '../../doctor/inTime.ts';
import { formatDuration } from '../../doctor/state.ts';
import { usage } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { openScreen, type Row, whenUnread } from '../../screen.ts';
import type { Context } from '../context.ts';
import { findTunnel } from '../find.ts';
import { noteChanges } from './changes.ts';
import { follow, makePace, runOf } from './followed.ts';
import { type Proven, row, rowsOf, rowsOfProof, type Seen, tryToProve } from './seen.ts';

/** Milliseconds between two looks at systemd. */
const INTERVAL = 1000;

/** How many changes are kept, for a tall terminal. */
const KEPT = 100;

/** The last proof, of which run of the service it is, and when it was made. */
interface LastProof {
  readonly proven: Proven;
  readonly run: string;
  readonly at: number;
}

/**
 * One tunnel as it changes, until Ctrl-C, which is no failure here: in its place on a terminal, otherwise one line a change.
 * @throws ExpectedError exit code 3 when it is not installed, or not any more
 */
export async function statusWatch(context: Context, name: string | undefined, draft: Draft): Promise<void> {
  const { output } = context;
  if (draft.quiet === true) throw usage('--watch with --quiet shows nothing.', 'For scripts: --wait SECONDS.');
  if (output.json) throw usage('--watch goes on and on, and --json prints one object.', 'For scripts: --wait SECONDS, or --json without --watch as often as you like.');
  const first = await findTunnel(context, name, draft);
  const until = AbortSignal.any([context.signal, whenUnread()]);
  const lookAgain = follow({ ...context, machine: inTime(context.machine, until) }, first.name, { ...draft, scope: first.scope });
  const pace = makePace();
  const lines: string[] = [];
  const screen = openScreen();
  const keep = (line: string) => {
    lines.unshift(line);
    lines.splice(KEPT);
  };
  const changes = noteChanges(first.name, screen ? keep : output.progress);
  let seen: Seen | undefined;
  let last: LastProof | undefined;
  let proving: Promise<void> | undefined;
  let failure: unknown;
  const show = () => screen?.show((rows) => frame(context, seen, last, lines, rows));

  const prove = async (at: Seen) => {
    try {
      const proven = await tryToProve({ ...context, signal: until }, at);
      pace.proved(at.state, proven);
      last = { proven, run: runOf(at.state), at: Date.now() };
      changes.proved(proven);
      show();
    } catch (error) {
      failure = error;
    } finally {
      proving = undefined;
    }
  };
  try {
    while (!until.aborted && failure === undefined) {
      seen = await lookAgain();
      changes.saw(seen);
      show();
      if (seen && draft.noVerify !== true && !proving && pace.isDue(seen.state)) proving = prove(seen);
      await sleep(INTERVAL, undefined, { signal: until }).catch(() => undefined);
    }
  } catch (error) {
    failure = error;
  } finally {
    await proving;
    screen?.close();
  }
  // Ctrl-C ends what runs for us as well.
  if (failure !== undefined && !until.aborted) throw failure;
}

function frame(context: Context, seen: Seen | undefined, last: LastProof | undefined, changes: readonly string[], rows: number): Row[] {
  if (!seen) return [{ mark: 'unknown', text: 'systemd does not answer' }];
  const about = rowsOf(context, seen, proofRows(seen, last));
  const free = Math.max(0, rows - about.length - 3);
  return [...about, { text: '' }, ...changes.slice(0, free).map((text) => ({ text }))];
}

function proofRows({ state }: Seen, last: LastProof | undefined): Row[] {
  if (!last) return [];
  const ago = `${formatDuration(Date.now() - last.at)} ago`;
  if (state.state !== 'up' || last.run !== runOf(state)) return [row('last proof', ago)];
  return rowsOfProof(last.proven).map((one) => ({ ...one, text: `${one.text} (${ago})` }));
}
