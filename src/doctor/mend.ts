import { publicKeyOf } from '../checks/key.ts';
import { ExpectedError } from '../errors.ts';
import { type Desired, planInstall } from '../plan/plan.ts';
import { ancestorsToMake, pinnedIn, type Present, readPresent } from '../plan/present.ts';
import type { Step } from '../plan/step.ts';
import { renderFiles } from '../unit/render.ts';
import { formerOf, type Places } from '../unit/places.ts';
import { type Systemctl, systemctl } from '../unit/systemctl.ts';
import { octal } from './asWritten.ts';
import { hopNames } from './keyPart.ts';
import { findMask } from './masks.ts';
import type { Patient } from './patient.ts';

/** Findings that something here can be done about without a person's knowledge, and without touching what is theirs. */
export const MENDABLE: ReadonlySet<string> = new Set([
  'unit-altered', 'unit-masked', 'needs-reload', 'config-altered', 'service-user-missing', 'key-too-open', 'not-enabled', 'lingering-off', 'stopped',
  'gave-up', 'outdated', 'sandbox-failed',
]);

/** What would mend it. */
export interface Mending {
  readonly steps: readonly Step[];
  /** One of them ends the connection that the tunnel holds, be it for a moment, or keeps it from coming up after the next drop. */
  readonly cuts: boolean;
}

/**
 * The steps from what is there to what the unit records, as an installation with the same settings would plan them.
 * Host keys are never made up, and a service is not restarted where it could not come up again for want of one, or of its key.
 * @throws ExpectedError where something that is not ours is in the way
 */
export async function planMending(patient: Patient): Promise<Mending> {
  const { machine, who, installed: { scope, places } } = patient;
  const systemd = systemctl(machine, scope, who);
  const present = await readPresent(machine, scope, places, who);
  const keySteps = await planKey(patient);
  const decide = (start: boolean) => planInstall(modesAside(desired(patient, present, start), present), present, systemd, who.userName);
  const { activeState } = present.service;
  // One that is trying already need not be told to, unless it is to try with something else.
  const start = keySteps !== undefined && hasAllPinned(patient, present) && (activeState !== 'activating' || decide(false).length > 0);
  const steps = [
    ...(keySteps ?? []),
    ...waySteps(patient, present),
    ...modeSteps(desired(patient, present, start), present),
    ...(await planUnmask(patient, systemd)),
    ...forgetFailure(present, systemd, places.unit),
    ...keepingFormer(decide(start), places, present),
  ];
  const isStart = (step: Step) => step.kind === 'run' && step.argv.includes(places.unit) && step.argv.some((word) => word === 'start' || word === 'restart');
  // What cannot be started anew reads what is written here when its connection breaks for the first time, and stays down.
  const rewrites = (step: Step) => step.kind === 'write' && (step.path === places.unitFile || step.path === places.sshConfig);
  if (activeState === 'active') return { steps, cuts: steps.some((step) => isStart(step) || (!start && rewrites(step))) };
  // Nothing is lost with a start that does not get there: it goes on trying, and the rest is mended all the same.
  return { steps: steps.map((step) => (isStart(step) && step.kind === 'run' ? { ...step, orElse: STILL_TRYING } : step)), cuts: false };
}

/** What was edited by hand is not lost: a copy of the file is laid beside the others before it is written anew. */
function keepingFormer(steps: readonly Step[], places: Places, present: Present): Step[] {
  return steps.flatMap((step): Step[] => {
    const found = step.kind === 'write' ? present.files.get(step.path) : undefined;
    if (step.kind !== 'write' || found?.content === undefined) return [step];
    return [{ kind: 'write', path: formerOf(places, step.path), content: found.content, mode: found.mode }, step];
  });
}

const STILL_TRYING = 'The service did not come up at once; it goes on trying.';

function desired({ installed, tunnel, facts }: Patient, present: Present, start: boolean): Desired {
  const { places, lingering } = installed;
  const pinned = pinnedIn(present, places);
  const files = renderFiles(tunnel, places, pinned.map((line) => `${line}\n`).join(''), { lingering, namespaces: facts.namespaces });
  return { tunnel, places, start, selinux: facts.selinux, files: files.filter(({ path }) => path !== places.knownHosts || present.files.has(path)) };
}

/** A mode is put right by itself: to write the unit anew would restart the service. */
function modeSteps({ files }: Desired, present: Present): Step[] {
  return files.flatMap(({ path, content, mode }): Step[] => {
    const found = present.files.get(path);
    if (found?.content !== content || found.mode === mode) return [];
    return [{ kind: 'run', title: 'put its mode right', argv: ['chmod', octal(mode), '--', path], undo: ['chmod', octal(found.mode), '--', path] }];
  });
}

/** The service runs as a user of its own, which has to get to its files. */
const waySteps = (patient: Patient, present: Present): Step[] =>
  ancestorsToMake(patient.installed.places).flatMap((path): Step[] => {
    const found = present.files.get(path);
    if (patient.installed.scope !== 'system' || found?.kind !== 'directory' || (found.mode & 0o555) === 0o555) return [];
    return [{ kind: 'run', title: 'let the service in', argv: ['chmod', 'a+rx', '--', path], undo: ['chmod', octal(found.mode), '--', path] }];
  });

const modesAside = (wanted: Desired, present: Present): Desired =>
  ({ ...wanted, files: wanted.files.map((file) => ({ ...file, mode: present.files.get(file.path)?.content === file.content ? present.files.get(file.path)!.mode : file.mode })) });

function hasAllPinned({ tunnel, installed: { places } }: Patient, present: Present): boolean {
  const pinned = pinnedIn(present, places);
  return hopNames(tunnel).every((name) => pinned.some((line) => line.startsWith(`${name} `)));
}

/** @returns undefined where the key is of no use to a service, whatever is done here */
async function planKey({ machine, tunnel: { identityFile } }: Patient): Promise<Step[] | undefined> {
  try {
    await publicKeyOf(machine, identityFile);
    return [];
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error;
    const stat = await machine.stat(identityFile);
    if (error.id !== 'key-too-open' || stat?.kind !== 'file') return undefined;
    return [{ kind: 'run', title: 'keep the key from others', argv: ['chmod', '600', '--', identityFile], undo: ['chmod', octal(stat.mode), '--', identityFile] }];
  }
}

/** A mask that stands beside the unit, and not in its place. */
async function planUnmask({ machine, who, installed }: Patient, systemd: Systemctl): Promise<Step[]> {
  const mask = await findMask(machine, who, installed);
  if (mask === undefined) return [];
  return [
    { kind: 'on-undo', argv: systemd.argv('daemon-reload') },
    { kind: 'run', title: 'take the mask away', argv: ['rm', '--', mask], undo: ['ln', '-s', '/dev/null', mask] },
    { kind: 'run', title: 'have systemd read it', argv: systemd.argv('daemon-reload') },
  ];
}

const forgetFailure = ({ service }: Present, systemd: Systemctl, unit: string): Step[] =>
  service.activeState === 'failed' ? [{ kind: 'run', title: 'forget its failure', argv: systemd.argv('reset-failed', '--', unit) }] : [];
