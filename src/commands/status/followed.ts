import { isFault, isUnreached, type Proof } from '../../checks/verify.ts';
import { hurried } from '../../doctor/inTime.ts';
import { SYSTEMD_LIMIT } from '../../doctor/machineParts.ts';
import { lastReason } from '../../doctor/reason.ts';
import { readState, type ServiceState } from '../../doctor/state.ts';
import { ExpectedError } from '../../errors.ts';
import { recordDamaged } from '../../unit/installed.ts';
import type { Draft } from '../../input/fields.ts';
import type { Context } from '../context.ts';
import { findTunnel } from '../find.ts';
import { readPending } from '../pending.ts';
import type { Proven, Seen } from './seen.ts';

/**
 * Looks at a tunnel again and again. What systemd says is cheap and read each time; the journal is long, and read only
 * when something has happened.
 * @returns what is seen now; undefined while systemd does not answer, as when it is updated
 * @throws ExpectedError exit code 3 when the tunnel is not installed any more
 */
export function follow(context: Context, name: string, draft: Draft): () => Promise<Seen | undefined> {
  const { machine, who } = context;
  let last: Seen | undefined;
  let isJournalLate = true;
  return async () => {
    const installed = await findTunnel(context, name, draft);
    if (!installed.tunnel) throw recordDamaged(installed);
    const state = await readState(hurried(machine, SYSTEMD_LIMIT), who, installed).catch(unlessSilent);
    if (!state) return undefined;
    const isSame = last !== undefined && runOf(last.state) === runOf(state);
    // The journal gets to know a little later than systemd.
    const reason = isSame && !isJournalLate ? last?.reason : await lastReason(machine, installed.scope, who, installed.places.unit);
    isJournalLate = !isSame;
    last = { installed, tunnel: installed.tunnel, state, reason, pending: await readPending(context, installed) };
    return last;
  };
}

function unlessSilent(error: unknown): undefined {
  if (!(error instanceof ExpectedError) || error.id !== 'systemd-silent') throw error;
}

/** Differs when the tunnel has been down in between. */
export const runOf = ({ state, since, restarts }: ServiceState) => `${state} ${since?.getTime()} ${restarts}`;

/** Milliseconds between two proofs, where something is amiss: at first, and at the most; and where nothing is. */
const [FIRST, MOST, WHEN_WELL] = [2000, 30_000, 300_000];

/**
 * Milliseconds for which OpenSSH 9.8 and newer hold it against an address that its key was refused, and that connections came
 * to nothing (sshd_config(5), PerSourcePenalties): the server against this machine, sshd here against all who come by tunnel.
 */
const [REFUSED, MERELY_LOOKED] = [5000, 3000];

/** Says when to prove again. A proof costs the server logins: it follows a change, and otherwise comes ever more rarely. */
export interface Pace {
  isDue(state: ServiceState): boolean;
  proved(state: ServiceState, proven: Proven): void;
}

export function makePace(now = () => performance.now()): Pace {
  let last = { run: '', at: -Infinity, least: 0, grown: 0, pause: 0 };
  return {
    isDue: (state) => state.state === 'up' && now() - last.at >= (runOf(state) === last.run ? last.pause : last.least),
    proved: (state, proven) => {
      const run = runOf(state);
      const least = proofsIn(proven).reduce((sum, proof) => sum + (isUnreached(proof) ? REFUSED : MERELY_LOOKED), 0);
      const grown = run === last.run ? Math.min(MOST, 2 * last.grown) : FIRST;
      last = { run, at: now(), least, grown, pause: mayImprove(proven) ? Math.max(least, grown) : WHEN_WELL };
    },
  };
}

export const proofsIn = (proven: Proven): readonly Proof[] => (typeof proven === 'string' ? [] : proven ?? []);

/** Whether another try may show more, without a change of the tunnel or of what the server allows it. */
export const mayImprove = (proven: Proven) =>
  proofsIn(proven).some((proof) => isFault(proof) || proof.finding === 'nothing-here' || isUnreached(proof));
