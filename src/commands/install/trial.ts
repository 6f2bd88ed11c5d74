import { canRelease, releasePort } from '../../checks/release.ts';
import { isReleasable, madePublic, tryTunnel } from '../../checks/trial.ts';
import { ExpectedError } from '../../errors.ts';
import { planKeepKey } from '../../plan/plan.ts';
import { pinnedIn } from '../../plan/present.ts';
import { runSteps } from '../../plan/run.ts';
import { formatForward } from '../../tunnel/forward.ts';
import { serverOf } from '../../tunnel/tunnel.ts';
import type { Job } from './job.ts';

/** Asks the server, before anything is touched, whether it would let the service do what it is for. */
export async function tryFirst(job: Job, hostKeys: readonly string[]): Promise<void> {
  const { tunnel, key, bench, draft, machine, who, places, present, output } = job;
  if (draft.dryRun === true && (key.made ?? job.prepared.serverEnd)) {
    output.progress(`not tried: whether the server accepts the key, ${key.made ? 'which is yet to be made' : 'whose account is yet to be made'}`);
    return;
  }
  try {
    const { exposed } = await tryOrRelease(job, () => tryTunnel({ machine, who, tunnel, bench, pinned: hostKeys }, key.publicKey, heldBy(job, hostKeys)));
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
async function tryOrRelease<T>({ tunnel, bench, draft, present }: Job, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    const mayRelease = tunnel.release && draft.dryRun !== true && present.service.activeState !== 'active';
    if (!mayRelease || !(error instanceof ExpectedError) || !isReleasable(error) || !(await canRelease(tunnel, bench))) throw error;
    await releasePort(tunnel, bench);
    return attempt();
  }
}

/**
 * Forwards that this very tunnel holds on the same server right now: asking for them again would collide. A server is
 * the same by its address, or under another name by its host key.
 */
function heldBy(job: Job, hostKeys: readonly string[]): ReadonlySet<string> {
  const { existing, tunnel, present } = job;
  const held = existing?.tunnel;
  const blobs = new Set(pinnedIn(job.present, job.places).map((line) => line.split(' ')[2]));
  const isSame = held?.port === tunnel.port && (held.host === tunnel.host || hostKeys.some((line) => blobs.has(line.split(' ')[2])));
  return new Set(held && isSame && present.service.activeState === 'active' ? held.forwards.map(formatForward) : []);
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
