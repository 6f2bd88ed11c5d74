import { readFacts } from '../../checks/facts.ts';
import { trustHostKeys, type TrustWish } from '../../checks/hostKey.ts';
import { publicKeyOf, withNewKey } from '../../checks/key.ts';
import { requireNoticePrograms } from '../../checks/noticePrograms.ts';
import { requireCiphers, requireLocalPortsFree, requireMachine, requireRisksAccepted } from '../../checks/preflight.ts';
import { withWorkbench } from '../../checks/workbench.ts';
import { cancelled } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { missing, nameOf, scopeOf } from '../../input/resolve.ts';
import { wantedTunnel } from '../../input/wanted.ts';
import type { Machine } from '../../machine/machine.ts';
import { pinnedIn, readPresent } from '../../plan/present.ts';
import { titlesOf } from '../../plan/step.ts';
import type { Tunnel } from '../../tunnel/tunnel.ts';
import { findInstalled } from '../../unit/installed.ts';
import { type Places, placesOf } from '../../unit/places.ts';
import type { Context } from '../context.ts';
import { carryOut, reportOf } from './carryOut.ts';
import { decide, type Decision, unitOf } from './decide.ts';
import type { Job, Key, Prepared } from './job.ts';
import { releasingIfItCan, tryFirst } from './trial.ts';
import { tryoutFor, withTryout } from './tryout.ts';
import { withLock } from '../lock.ts';
import { readPending } from '../pending.ts';
import { listed } from '../steps.ts';
import { failOnFault, prove, tellDifferences } from '../telling.ts';

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
  const { machine, who, output, draft, bench, existing } = wanted;
  const trusted = await trustHostKeys(machine, who, wanted.tunnel, bench, trustWish(draft), pinnedIn(wanted.present, wanted.places));
  const first = decide(wanted, trusted.lines);
  if (first.steps.length > 0) {
    tellDifferences(output, existing?.tunnel, wanted.tunnel);
    for (const reason of trusted.reasons) output.progress(`host key of ${reason}`);
  }
  const tryout = await tryoutFor(wanted, first.steps);
  await makeServerEnd(wanted, first);
  const isStarted = first.steps.length > 0 && first.desired.start;
  if (isStarted) await tryFirst(wanted, trusted.lines);
  const job = isStarted ? await releasingIfItCan(wanted) : wanted;
  const { steps, ...decided } = job === wanted ? first : decide(job, trusted.lines);
  const decision = { ...decided, steps: tryout ? withTryout(steps, job, tryout) : steps };

  if (decision.steps.length === 0 && (draft.dryRun !== true || !job.prepared.serverEnd)) return proveUnchanged(job, decision);
  if (draft.dryRun === true) return tellDryRun(job, decision);
  if (!job.prepared.serverEnd) await job.prepared.confirmPlan?.(titlesOf(decision.steps), unitOf(decision));
  if (job.signal.aborted) throw cancelled();
  await carryOut(job, decision, tryout);
}

/** Has the server's end made, where that is part of the work: the tunnel can only be tried once it is there. */
async function makeServerEnd({ prepared: { serverEnd, confirmPlan }, draft, signal }: Job, decision: Decision): Promise<void> {
  if (!serverEnd || draft.dryRun === true) return;
  await confirmPlan?.([...onServer({ prepared: { serverEnd } }), ...titlesOf(decision.steps)], unitOf(decision));
  if (signal.aborted) throw cancelled();
  await serverEnd.apply();
}

const onServer = ({ prepared }: Pick<Job, 'prepared'>) => prepared.serverEnd?.titles.map((title) => `on the server: ${title}`) ?? [];

async function proveUnchanged(job: Job, { desired, hostKeys }: Decision): Promise<void> {
  const { output, draft, tunnel, places, present, bench } = job;
  output.progress(`${tunnel.name}: unchanged`);
  const proofs = await prove(job, tunnel, bench, hostKeys, draft, present.service.activeState === 'active');
  failOnFault(proofs, draft.acceptRisk);
  output.object(reportOf(desired, [], { changed: false, proofs, pending: await readPending(job, { ...tunnel, places }) }));
}

function tellDryRun(job: Job, { desired, steps }: Decision): void {
  const titles = titlesOf(steps);
  job.output.progress(`Would do:\n${listed([...onServer(job), ...titles])}`);
  job.output.object(reportOf(desired, titles, { changed: false }));
}

function trustWish(draft: Draft): TrustWish {
  return {
    ...(draft.hostKey && { fingerprints: draft.hostKey }),
    ...(draft.knownHosts !== undefined && { knownHostsFile: draft.knownHosts }),
    ...(draft.acceptNewHostKey === true && { acceptNew: true }),
  };
}
