import { canRelease, releasePort } from '../../checks/release.ts';
import { isReleasable, madePublic, mayBeOfTheService, type TrialResult, tryTunnel } from '../../checks/trial.ts';
import { ExpectedError } from '../../errors.ts';
import { lookUntil } from '../../machine/lookUntil.ts';
import { planKeepKey } from '../../plan/plan.ts';
import { pinnedIn } from '../../plan/present.ts';
import { runSteps } from '../../plan/run.ts';
import { formatForward } from '../../tunnel/forward.ts';
import { serverOf } from '../../tunnel/tunnel.ts';
import { systemctl } from '../../unit/systemctl.ts';
import type { Job } from './job.ts';

/** Asks the server, before anything is touched, whether it would let the service do what it is for. */
export async function tryFirst(job: Job, hostKeys: readonly string[]): Promise<void> {
  const { tunnel, key, draft, machine, places, present, output } = job;
  if (draft.dryRun === true && (key.made ?? job.prepared.serverEnd)) {
    output.progress(`not tried: whether the server accepts the key, ${key.made ? 'which is yet to be made' : 'whose account is yet to be made'}`);
    return;
  }
  try {
    const { exposed } = await tryOrRelease(job, hostKeys);
    if (exposed.length === 0 || draft.acceptRisk?.includes('public') === true) return;
    throw madePublic(tunnel, exposed);
  } catch (error) {
    if (key.made && !job.prepared.newKey && error instanceof ExpectedError && error.id === 'key-refused') {
      await runSteps(machine, planKeepKey(key.made, places, present), { signal: job.signal, onDone: () => undefined, onNotice: output.notice });
      output.notice(`A new key was made and stays: ${places.generatedKey}`);
      throw new ExpectedError(error.exitCode, error.id, error.message, error.hint, true);
    }
    throw error;
  }
}

/** A port that a dead session of this account holds is no reason to refuse: the service would release it, too. */
async function tryOrRelease(job: Job, hostKeys: readonly string[]): Promise<TrialResult> {
  const { machine, who, tunnel, key, bench, draft, present } = job;
  const attempt = (isUp: boolean) => tryTunnel({ machine, who, tunnel, bench, pinned: hostKeys }, key.publicKey, isUp ? heldBy(job, hostKeys) : NOTHING);
  const wasUp = present.service.activeState === 'active';
  try {
    return await attempt(wasUp);
  } catch (error) {
    if (wasUp || !(error instanceof ExpectedError)) throw error;
    // A service that was on its way goes on trying meanwhile, and may have been there first.
    if (mayBeOfTheService(error) && (await hasComeUp(job))) return attempt(true);
    if (!tunnel.release || draft.dryRun === true || !isReleasable(error) || !(await canRelease(tunnel, bench))) throw error;
    await releasePort(tunnel, bench);
    return attempt(false);
  }
}

const NOTHING: ReadonlySet<string> = new Set();

/** Milliseconds that a login which is under way may still take. */
const COMING_UP = 3000;

async function hasComeUp({ machine, who, existing, signal }: Job): Promise<boolean> {
  if (!existing) return false;
  const { ActiveState } = await lookUntil(
    ({ ActiveState: state, SubState }) => state !== 'activating' || SubState === 'auto-restart',
    () => systemctl(machine, existing.scope, who).show(existing.places.unit, ['ActiveState', 'SubState']),
    { limit: COMING_UP, every: 200, signal },
  );
  return ActiveState === 'active';
}

/**
 * Forwards that this very tunnel, which is up, holds on the same server: asking for them again would collide. A server is
 * the same by its address, or under another name by its host key.
 */
function heldBy(job: Job, hostKeys: readonly string[]): ReadonlySet<string> {
  const { existing, tunnel } = job;
  const held = existing?.tunnel;
  const blobs = new Set(pinnedIn(job.present, job.places).map((line) => line.split(' ')[2]));
  const isSame = held?.port === tunnel.port && (held.host === tunnel.host || hostKeys.some((line) => blobs.has(line.split(' ')[2])));
  return new Set(held && isSame ? held.forwards.map(formatForward) : []);
}

/** An account may be called like one of ours and be none: then its tunnel does without a release, which would never succeed. */
export async function releasingIfItCan(job: Job): Promise<Job> {
  const { tunnel, existing, draft, key, bench, output } = job;
  const isKnownTo = existing?.tunnel?.release === true && serverOf(existing.tunnel) === serverOf(tunnel);
  // One that was made just now is ours.
  if (!tunnel.release || isKnownTo || job.prepared.serverEnd || (draft.dryRun === true && key.made) || (await canRelease(tunnel, bench))) return job;
  output.progress(`release on arrival: no, as ${serverOf(tunnel)} does not answer like an account that revtun-setup made`);
  return { ...job, tunnel: { ...tunnel, release: false } };
}
