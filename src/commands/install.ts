import { hostname } from 'node:os';
import { type Facts, readFacts } from '../checks/facts.ts';
import { trustHostKeys, type TrustWish } from '../checks/hostKey.ts';
import { generateKey, publicKeyOf } from '../checks/key.ts';
import { requireCiphers, requireLocalPortsFree, requireMachine, requireRisksAccepted } from '../checks/preflight.ts';
import { tryTunnel } from '../checks/trial.ts';
import type { Proof } from '../checks/verify.ts';
import { withWorkbench, type Workbench } from '../checks/workbench.ts';
import { cancelled, ExpectedError, failed } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import type { Machine } from '../machine/machine.ts';
import { missing, nameOf, scopeOf } from '../input/resolve.ts';
import { wantedTunnel } from '../input/wanted.ts';
import { type Desired, planInstall, planKeepKey } from '../plan/plan.ts';
import { type Present, readPresent } from '../plan/present.ts';
import { type Carried, runSteps } from '../plan/run.ts';
import { type Step, titleOf } from '../plan/step.ts';
import { isOurs } from '../template.ts';
import { formatForward } from '../tunnel/forward.ts';
import type { KeyPair } from '../tunnel/key.ts';
import { serverOf, type Tunnel } from '../tunnel/tunnel.ts';
import { findInstalled, type Installed } from '../unit/installed.ts';
import { type Places, placesOf } from '../unit/places.ts';
import { hostKeyLines, renderFiles } from '../unit/render.ts';
import { systemctl } from '../unit/systemctl.ts';
import type { Context } from './context.ts';
import { withLock } from './lock.ts';
import { reasonSince } from './reason.ts';
import { failOnFault, prove, tellDifferences, tellHowToConnect, verifiedObject } from './telling.ts';

/** What the wizard hands over besides its answers. */
export interface Prepared {
  /** A key that was made, and perhaps put on the server already, but is nowhere on this machine yet. */
  readonly newKey?: KeyPair & { readonly path: string };
  /** Shows the plan to a person; throws when it is not wanted. */
  readonly confirmPlan?: (tunnel: Tunnel, steps: readonly Step[], unit: string) => Promise<void>;
}

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
    ]);
    const lingering = scope === 'user' && (!present.lingering || installed.some((other) => other.lingering));
    await withKey(context, tunnel, own, (key) =>
      withWorkbench(machine, tunnel, key.path, context.signal, (bench) =>
        installOne({ ...context, facts, draft, prepared, existing, tunnel, places, present, lingering, key, bench })));
  });
}

interface Key {
  /** Where it lies for now. */
  readonly path: string;
  readonly publicKey: string;
  /** Set when it has yet to be put in place. */
  readonly made?: KeyPair;
}

/** Everything that one installation is decided by. */
interface Job extends Context {
  readonly facts: Facts;
  readonly draft: Draft;
  readonly prepared: Prepared;
  readonly existing: Installed | undefined;
  readonly tunnel: Tunnel;
  readonly places: Places;
  readonly present: Present;
  readonly lingering: boolean;
  readonly key: Key;
  readonly bench: Workbench;
}

/** The tunnel's key, if there is one; undefined when it has yet to be made. @throws ExpectedError when it cannot be used */
async function findKey(machine: Machine, tunnel: Tunnel, places: Places, { newKey }: Prepared): Promise<Key | undefined> {
  if (newKey) return { path: newKey.path, publicKey: newKey.publicKey, made: newKey };
  if (tunnel.identityFile === places.generatedKey && !(await machine.stat(places.generatedKey))) return undefined;
  return { path: tunnel.identityFile, publicKey: await publicKeyOf(machine, tunnel.identityFile) };
}

/** Makes the key that is missing in a folder of its own: it is put in place as a step like any other. */
async function withKey({ machine }: Context, tunnel: Tunnel, own: Key | undefined, work: (key: Key) => Promise<void>): Promise<void> {
  if (own) return work(own);
  const directory = await machine.temporaryDirectory();
  try {
    const made = await generateKey(machine, directory, `revtun-${tunnel.name}@${hostname()}`);
    return await work({ path: made.path, publicKey: made.publicKey, made });
  } finally {
    await machine.removeTree(directory);
  }
}

async function installOne(job: Job): Promise<void> {
  const { machine, who, output, draft, tunnel, places, present, key, bench, existing } = job;
  const trusted = await trustHostKeys(machine, who, tunnel, bench, trustWish(draft), pinnedLines(present, places));
  const desired: Desired = {
    tunnel, places, start: draft.noStart !== true, selinux: job.facts.selinux,
    files: renderFiles(tunnel, places, trusted.lines.map((line) => `${line}\n`).join(''), { lingering: job.lingering, namespaces: job.facts.namespaces }),
    ...(key.made && { newKey: key.made }),
  };
  const steps = planInstall(desired, present, systemctl(machine, tunnel.scope, who), who.userName);
  const titles = steps.map(titleOf).filter((title) => title !== undefined);
  const tell = (changed: boolean, done: readonly string[], proofs?: readonly Proof[]) => output.object({
    ok: true, changed, name: tunnel.name, scope: tunnel.scope, unit: places.unit,
    files: desired.files.map(({ path }) => path), steps: done, verified: verifiedObject(proofs),
  });

  if (steps.length === 0) {
    output.progress(`${tunnel.name}: unchanged`);
    const proofs = await prove(job, tunnel, bench, trusted.lines, draft, present.service.activeState === 'active');
    failOnFault(proofs, draft.acceptRisk);
    tell(false, [], proofs);
    return;
  }
  tellDifferences(output, existing?.tunnel, tunnel);
  for (const reason of trusted.reasons) output.progress(`host key of ${reason}`);
  if (desired.start) await tryFirst(job, trusted.lines);
  if (draft.dryRun === true) {
    output.progress(`Would do:\n${titles.map((title) => `  ${title}`).join('\n')}`);
    tell(false, titles);
    return;
  }
  await job.prepared.confirmPlan?.(tunnel, steps, desired.files.at(-1)!.content);
  if (job.signal.aborted) throw cancelled();

  const done: string[] = [];
  const carried = await carryOut(job, steps, done);
  try {
    const proofs = await prove(job, tunnel, bench, trusted.lines, draft, desired.start);
    failOnFault(proofs, draft.acceptRisk);
    // Lingering that may not be switched on is tried again each time, and is nothing that changed.
    if (done.length === 0) output.progress(`${tunnel.name}: unchanged`);
    else if (desired.start) tellHowToConnect(job, tunnel);
    tell(done.length > 0, done, proofs);
  } catch (error) {
    if (await carried.undo()) tellUndone(job);
    throw error;
  }
}

function trustWish(draft: Draft): TrustWish {
  return {
    ...(draft.hostKey && { fingerprints: draft.hostKey }),
    ...(draft.knownHosts !== undefined && { knownHostsFile: draft.knownHosts }),
    ...(draft.acceptNewHostKey === true && { acceptNew: true }),
  };
}

/** Host keys that an installed tunnel of this name has pinned already. */
function pinnedLines(present: Present, places: Places): string[] {
  const content = present.files.get(places.knownHosts)?.content ?? '';
  return isOurs(content) ? hostKeyLines(content) : [];
}

/** Asks the server, before anything is touched, whether it would let the service do what it is for. */
async function tryFirst(job: Job, hostKeys: readonly string[]): Promise<void> {
  const { tunnel, key, bench, draft, machine, places, present, output } = job;
  if (draft.dryRun === true && key.made) {
    output.progress('not tried: whether the server accepts the key, which is yet to be made');
    return;
  }
  try {
    const { exposed } = await tryTunnel(tunnel, key.publicKey, bench, heldBy(job, hostKeys));
    if (exposed.length === 0 || draft.acceptRisk?.includes('public') === true) return;
    throw failed(
      'made-public',
      `${serverOf(tunnel)} would let everyone reach the port: its GatewayPorts is "yes", which overrides ${exposed.join(', ')}.`,
      "Set GatewayPorts to no or clientspecified in its sshd_config, or ask for what it does: --bind '*' --accept-risk=public",
    );
  } catch (error) {
    if (key.made && !job.prepared.newKey && error instanceof ExpectedError && error.id === 'key-refused') {
      await runSteps(machine, planKeepKey(key.made, places, present), { signal: job.signal, onDone: () => undefined, onNotice: output.notice });
      output.notice(`A new key was made and stays: ${places.generatedKey}`);
      throw new ExpectedError(error.exitCode, error.id, error.message, error.hint, true);
    }
    throw error;
  }
}

/**
 * Forwards that this very tunnel holds on the same server right now: asking for them again would collide. A server is
 * the same by its address, or under another name by its host key.
 */
function heldBy({ existing, tunnel, present, places }: Job, hostKeys: readonly string[]): ReadonlySet<string> {
  const held = existing?.tunnel;
  const blobs = new Set(pinnedLines(present, places).map((line) => line.split(' ')[2]));
  const isSame = held?.port === tunnel.port && (held.host === tunnel.host || hostKeys.some((line) => blobs.has(line.split(' ')[2])));
  return new Set(held && isSame && present.service.activeState === 'active' ? held.forwards.map(formatForward) : []);
}

/** @param done is filled with what was done: a step that may fail is not always among it */
async function carryOut(job: Job, steps: readonly Step[], done: string[]): Promise<Carried> {
  const { machine, who, output, tunnel, places, signal } = job;
  const since = new Date();
  let whole = true;
  const onHalfUndone = () => (whole = false);
  try {
    const onDone = (title: string) => {
      done.push(title);
      output.mark('done', title);
    };
    return await runSteps(machine, steps, { signal, onDone, onNotice: output.notice, onHalfUndone });
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
