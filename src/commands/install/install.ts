import { readFacts } from '../../checks/facts.ts';
import { trustHostKeys, type TrustWish } from '../../checks/hostKey.ts';
import { publicKeyOf, withNewKey } from '../../checks/key.ts';
import { requireNoticePrograms } from '../../checks/noticePrograms.ts';
import { requireCiphers, requireLocalPortsFree, requireMachine, requireRisksAccepted } from '../../checks/preflight.ts';
import type { Proof } from '../../checks/verify.ts';
import { withWorkbench } from '../../checks/workbench.ts';
import { reasonSince } from '../../doctor/reason.ts';
import { cancelled, ExpectedError, failed } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { missing, nameOf, scopeOf } from '../../input/resolve.ts';
import { wantedTunnel } from '../../input/wanted.ts';
import type { Machine } from '../../machine/machine.ts';
import { type Desired, planInstall } from '../../plan/plan.ts';
import { pinnedIn, readPresent } from '../../plan/present.ts';
import { type Carried, runSteps } from '../../plan/run.ts';
import { type Step, titlesOf } from '../../plan/step.ts';
import type { Tunnel } from '../../tunnel/tunnel.ts';
import { findInstalled } from '../../unit/installed.ts';
import { type Places, placesOf } from '../../unit/places.ts';
import { renderFiles } from '../../unit/render.ts';
import { systemctl } from '../../unit/systemctl.ts';
import type { Context } from '../context.ts';
import type { Job, Key, Prepared } from './job.ts';
import { releasingIfItCan, tryFirst } from './trial.ts';
import { hold, tellTryout, tryoutFor, withTryout } from './tryout.ts';
import { withLock } from '../lock.ts';
import { type Pending, readPending } from '../pending.ts';
import { tellingSteps } from '../steps.ts';
import { failOnFault, prove, tellDifferences, tellHowToConnect, tellStaleness, verifiedObject } from '../telling.ts';

/** Plans, installs, enables, starts and proves one tunnel. */
export async function install(context: Context, draft: Draft, prepared: Prepared = {}): Promise<void> {
  const { machine, who } = context;
  if (nameOf(draft) === undefined) throw missing(draft);
  const facts = await readFacts(machine, who);
  const scope = scopeOf(draft, who);
  requireMachine(facts, scope, context.typed);
  await withLock(context, scope, draft.dryRun !== true, async () => {
    const installed = await findInstalled(machine, scope, who);
    const existing = installed.find(({ name }) => name === nameOf(draft));
    const { tunnel, notes } = await wantedTunnel(draft, existing, machine, facts);
    for (const note of notes) context.output.progress(note);
    requireRisksAccepted(tunnel, draft.acceptRisk ?? []);
    const places = placesOf(scope, tunnel.name, who.home);
    const [present, own] = await Promise.all([
      readPresent(machine, scope, places, who),
      findKey(machine, tunnel, places, prepared),
      requireLocalPortsFree(machine, tunnel, existing?.tunnel),
      requireCiphers(machine, tunnel),
      machine.stat(`${places.notice.serviceFile}.d`).then((dropIns) => requireNoticePrograms(machine, tunnel, dropIns !== undefined)),
    ]);
    const lingering = scope === 'user' && (!present.lingering || installed.some((other) => other.lingering));
    await withKey(context, tunnel, own, (key) =>
      withWorkbench(machine, tunnel, key.path, context.signal, (bench) =>
        installOne({ ...context, facts, draft, prepared, existing, tunnel, places, present, lingering, key, bench })));
  });
}

/** The tunnel's key, if there is one; undefined when it has yet to be made. @throws ExpectedError when it cannot be used */
async function findKey(machine: Machine, tunnel: Tunnel, places: Places, { newKey }: Prepared): Promise<Key | undefined> {
  if (newKey) return { path: newKey.path, publicKey: newKey.publicKey, made: newKey };
  if (tunnel.identityFile === places.generatedKey && !(await machine.stat(places.generatedKey))) return undefined;
  return { path: tunnel.identityFile, publicKey: await publicKeyOf(machine, tunnel.identityFile) };
}

/** A key that is missing is made first, and put in place as a step like any other. */
async function withKey({ machine }: Context, tunnel: Tunnel, own: Key | undefined, work: (key: Key) => Promise<void>): Promise<void> {
  if (own) return work(own);
  return withNewKey(machine, tunnel.name, (made) => work({ path: made.path, publicKey: made.publicKey, made }));
}

async function installOne(wanted: Job): Promise<void> {
  const { machine, who, output, draft, places, present, bench, existing } = wanted;
  const trusted = await trustHostKeys(machine, who, wanted.tunnel, bench, trustWish(draft), pinnedIn(wanted.present, wanted.places));
  const first = decide(wanted, trusted.lines);
  if (first.steps.length > 0) {
    tellDifferences(output, existing?.tunnel, wanted.tunnel);
    for (const reason of trusted.reasons) output.progress(`host key of ${reason}`);
  }
  const tryout = await tryoutFor(wanted, first.steps);
  await makeServerEnd(wanted, first);
  if (first.steps.length > 0 && first.desired.start) await tryFirst(wanted, trusted.lines);
  const job = first.steps.length > 0 && first.desired.start ? await releasingIfItCan(wanted) : wanted;
  const { tunnel } = job;
  const decided = job === wanted ? first : decide(job, trusted.lines);
  const { desired } = decided;
  const steps = tryout ? withTryout(decided.steps, job, tryout) : decided.steps;
  const titles = titlesOf(steps);
  const tell = (changed: boolean, done: readonly string[], proofs?: readonly Proof[], pending?: Pending) => output.object({
    ok: true, changed, name: tunnel.name, scope: tunnel.scope, unit: places.unit,
    files: desired.files.map(({ path }) => path), steps: done, verified: verifiedObject(proofs), ...(pending && { pending }),
  });

  if (steps.length === 0 && (draft.dryRun !== true || !job.prepared.serverEnd)) {
    output.progress(`${tunnel.name}: unchanged`);
    const proofs = await prove(job, tunnel, bench, trusted.lines, draft, present.service.activeState === 'active');
    failOnFault(proofs, draft.acceptRisk);
    tell(false, [], proofs, await readPending(job, { ...tunnel, places }));
    return;
  }
  if (draft.dryRun === true) {
    output.progress(`Would do:\n${[...onServer(job), ...titles].map((title) => `  ${title}`).join('\n')}`);
    tell(false, titles);
    return;
  }
  if (!job.prepared.serverEnd) await job.prepared.confirmPlan?.(titles, unitOf(desired));
  if (job.signal.aborted) throw cancelled();

  if (tryout) tellTryout(job, tryout);
  const done: string[] = [];
  const carried = await carryOut(job, steps, done);
  try {
    const proofs = await prove(job, tunnel, bench, trusted.lines, draft, desired.start);
    failOnFault(proofs, draft.acceptRisk);
    // Lingering that may not be switched on is tried again each time, and is nothing that changed.
    if (done.length === 0) output.progress(`${tunnel.name}: unchanged`);
    else {
      tellStaleness(output, tunnel);
      if (desired.start) tellHowToConnect(job, tunnel);
    }
    const pending = tryout && (await hold(job, tryout, done));
    tell(done.length > 0, done, proofs, pending);
  } catch (error) {
    if (await carried.undo()) tellUndone(job);
    throw error;
  }
}

/** Has the server's end made, where that is part of the work: the tunnel can only be tried once it is there. */
async function makeServerEnd({ prepared: { serverEnd, confirmPlan }, draft, signal }: Job, { steps, desired }: Decision): Promise<void> {
  if (!serverEnd || draft.dryRun === true) return;
  await confirmPlan?.([...onServer({ prepared: { serverEnd } }), ...titlesOf(steps)], unitOf(desired));
  if (signal.aborted) throw cancelled();
  await serverEnd.apply();
}

const onServer = ({ prepared }: Pick<Job, 'prepared'>) => prepared.serverEnd?.titles.map((title) => `on the server: ${title}`) ?? [];

const unitOf = ({ files }: Desired) => files.at(-1)!.content;

interface Decision {
  readonly desired: Desired;
  readonly steps: readonly Step[];
}

/** What should be there, and the steps to it. Pure. */
function decide(job: Job, hostKeys: readonly string[]): Decision {
  const { machine, who, draft, tunnel, places, present, key } = job;
  const desired: Desired = {
    tunnel, places, start: draft.noStart !== true, selinux: job.facts.selinux,
    files: renderFiles(tunnel, places, hostKeys.map((line) => `${line}\n`).join(''), { lingering: job.lingering, namespaces: job.facts.namespaces }),
    ...(key.made && { newKey: key.made }),
  };
  return { desired, steps: planInstall(desired, present, systemctl(machine, tunnel.scope, who), who.userName) };
}

function trustWish(draft: Draft): TrustWish {
  return {
    ...(draft.hostKey && { fingerprints: draft.hostKey }),
    ...(draft.knownHosts !== undefined && { knownHostsFile: draft.knownHosts }),
    ...(draft.acceptNewHostKey === true && { acceptNew: true }),
  };
}

/** @param done is filled with what was done: a step that may fail is not always among it */
async function carryOut(job: Job, steps: readonly Step[], done: string[]): Promise<Carried> {
  const { machine, who, output, tunnel, places, signal } = job;
  const since = new Date();
  let whole = true;
  const onHalfUndone = () => (whole = false);
  try {
    return await runSteps(machine, steps, { signal, ...tellingSteps(output, done), onHalfUndone });
  } catch (error) {
    if (whole) tellUndone(job);
    // What systemctl says of a failed start is where to look; what ssh said is the reason.
    if (!(error instanceof ExpectedError) || error.id !== 'step-failed' || !/systemctl.* (re)?start /.test(error.message)) throw error;
    const reason = await reasonSince(machine, tunnel.scope, who, places.unit, since);
    throw reason === undefined ? error : failed('start-failed', `The service did not come up: ${reason}`, error.message);
  }
}

const tellUndone = ({ output, existing }: Job) =>
  output.notice(existing ? 'Undone: the tunnel is as it was before.' : 'Undone: nothing of it is left on this machine.');
