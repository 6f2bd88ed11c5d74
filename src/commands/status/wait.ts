import { setTimeout as sleep } from 'node:timers/promises';
import { isUnreached } from '../../checks/verify.ts';
import { CutShort, inTime } from '../../doctor/inTime.ts';
import { cancelled, ExpectedError, failed } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import type { Context } from '../context.ts';
import { findTunnel } from '../find.ts';
import { follow, makePace, mayImprove, proofsIn, runOf } from './followed.ts';
import { conclude, print, problemOf, type Proven, rowsOf, rowsOfProof, type Seen, tryToProve } from './seen.ts';

/** Milliseconds between two looks at systemd. */
const INTERVAL = 500;

/**
 * Waits until a tunnel is proven: a connection has come through every remote forward. That is as far as it goes with a
 * target on another machine, which only `answered`. What can never be shown ends the wait at once.
 * @param seconds that this may take
 * @throws ExpectedError exit code 3 when there is no such tunnel, 1 when the time is over or no proof is possible
 */
export async function statusWait(context: Context, name: string | undefined, draft: Draft, seconds: number): Promise<void> {
  const { output } = context;
  const first = await findTunnel(context, name, draft);
  const deadline = AbortSignal.timeout(seconds * 1000);
  const signal = AbortSignal.any([context.signal, deadline]);
  const within: Context = { ...context, machine: inTime(context.machine, signal), signal };
  const lookAgain = follow(within, first.name, { ...draft, scope: first.scope });
  const pace = makePace();
  let [seen, proven, told]: [Seen | undefined, Proven, string] = [undefined, undefined, ''];
  for (;;) {
    const before = seen;
    seen = await lookAgain().catch(unlessAborted(deadline, seen));
    if (!seen || !before || runOf(before.state) !== runOf(seen.state)) proven = undefined;
    const verdict = judge(seen, proven, draft);
    if (seen && verdict.is === 'done') {
      print(output, rowsOf(context, seen, rowsOfProof(proven)));
      return conclude(context, seen, proven, undefined);
    }
    if (context.signal.aborted) throw cancelled();
    if (verdict.is === 'never' || within.signal.aborted) return giveUp(context, seen, proven, tooLate(first.name, verdict, seconds, draft));
    if (verdict.says !== told) output.progress(`${verdict.says} (waiting for up to ${seconds} s)`);
    told = verdict.says;
    if (seen && draft.noVerify !== true && pace.isDue(seen.state)) {
      proven = await tryToProve(within, seen).catch(unlessAborted(deadline, proven));
      pace.proved(seen.state, proven);
    } else {
      await sleep(INTERVAL, undefined, { signal: within.signal }).catch(() => undefined);
    }
  }
}

/** What the time cut short has shown nothing: what was seen before is all that there is. */
const unlessAborted = <T>(deadline: AbortSignal, before: T) => (error: unknown): T => {
  if (deadline.aborted && (error instanceof CutShort || (error instanceof ExpectedError && error.id === 'cancelled'))) return before;
  throw error;
};

interface Verdict {
  readonly is: 'done' | 'not-yet' | 'never';
  readonly says: string;
}

function judge(seen: Seen | undefined, proven: Proven, { noVerify }: Draft): Verdict {
  if (!seen) return { is: 'not-yet', says: 'systemd does not answer' };
  const { state: { state }, installed: { name } } = seen;
  if (state !== 'up') return { is: 'not-yet', says: problemOf(seen, undefined)!.message };
  if (noVerify === true) return { is: 'done', says: '' };
  if (proven === undefined) return { is: 'not-yet', says: `${name} is up, and not proven yet` };
  if (typeof proven === 'string') return { is: 'never', says: proven };
  const unprovable = proofsIn(proven).filter((proof) => proof.finding === 'not-provable' && !isUnreached(proof));
  if (unprovable.length > 0) return { is: 'never', says: unprovable.map(({ says }) => says).join('\n') };
  if (!mayImprove(proven)) return { is: 'done', says: '' };
  const open = proofsIn(proven).filter(({ finding }) => finding !== 'proven' && finding !== 'answered');
  return { is: 'not-yet', says: open.map(({ finding, says }) => `${finding}: ${says}`).join('\n') };
}

function tooLate(name: string, { is, says }: Verdict, seconds: number, { noVerify }: Draft): ExpectedError {
  if (is === 'never') return failed('not-provable', `${name} is up, but waiting cannot prove it: ${says}`, 'To wait only until the server has confirmed every forward: --no-verify');
  return failed('not-proven-in-time', `${name} was not ${noVerify === true ? 'up' : 'proven'} within ${seconds} s: ${says}`, `See: revtun-setup doctor ${name}`);
}

function giveUp(context: Context, seen: Seen | undefined, proven: Proven, problem: ExpectedError): void {
  if (!seen) throw problem;
  print(context.output, rowsOf(context, seen, rowsOfProof(proven)));
  context.output.notice(`revtun-setup: ${problem.message}\n${problem.hint}`);
  conclude(context, seen, proven, problem);
}
