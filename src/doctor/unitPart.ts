import { requireManager } from '../checks/preflight.ts';
import { compare } from './asWritten.ts';
import { line, mendIt, systemctlLine } from './cures.ts';
import { overridden } from './dropIns.ts';
import { findMask } from './masks.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { readSettled, type UnitFacts } from './unitFacts.ts';

/** Milliseconds that an installation takes from a new unit file to its being read. */
const INSTALLING = 3000;

/** The unit: systemd has it as revtun-setup wrote it. */
export const unitPart: Part = async function* (patient) {
  const { installed: { scope }, facts } = patient;
  requireManager(facts, scope);
  const unit = await readSettled(patient, ({ NeedDaemonReload }) => NeedDaemonReload !== 'yes', INSTALLING);
  const mask = unit && (await maskOf(patient, unit));
  const content = mask ?? (await contentOf(patient));
  // A unit of another version can have been overridden all the same.
  const found = content?.level === 'fault' ? content : (unit && (await loadingOf(patient, unit))) ?? content;
  if (found) yield found;
  if (found?.level === 'fault') return false;
  if (!unit) yield unsure('unit', 'whether it is masked or overridden, systemd tells only root: try with sudo');
  if (!found) yield sound('unit', `${patient.installed.places.unitFile}, as it was written`);
  return true;
};

async function maskOf(patient: Patient, { LoadState }: UnitFacts): Promise<Observation | undefined> {
  if (LoadState !== 'masked') return undefined;
  const { machine, who, installed } = patient;
  const mask = await findMask(machine, who, installed);
  const cure = mask === undefined ? `${systemctlLine(patient, 'unmask')}\nIf that does not help, look for a link to /dev/null in the directories of systemd.unit(5).` : mendIt(patient);
  return fault('unit', 'unit-masked', `${installed.places.unit} is masked${mask === undefined ? '' : ` (by ${mask})`}: systemd starts it no more, whoever asks.`, cure);
}

async function contentOf(patient: Patient): Promise<Observation | undefined> {
  const { unitFile } = patient.installed.places;
  const found = await compare(patient, unitFile);
  if (found.is === 'same') return undefined;
  if (found.is === 'other') return unsure('unit', `${unitFile} was written by revtun-setup ${found.version}: whether it was altered since, this version cannot tell`);
  const how = found.is === 'missing' ? 'it is gone' : found.how;
  return fault('unit', 'unit-altered', `${unitFile} is not as revtun-setup wrote it: ${how}.`,
    `${mendIt(patient)}\nWhat you want to keep of it belongs in a drop-in:\n${systemctlLine(patient, 'edit')}`);
}

async function loadingOf(patient: Patient, unit: UnitFacts): Promise<Observation | undefined> {
  const { unit: name } = patient.installed.places;
  const [first] = await overridden(patient, unit);
  if (first) {
    return fault('unit', 'drop-in-overrides', `${first.file} changes what keeps the tunnel going: ${first.what}.`,
      `Take that out of it, then:\n${systemctlLine(patient, 'daemon-reload', false)}\n${systemctlLine(patient, 'restart')}`);
  }
  if (unit.LoadState === 'bad-setting' || unit.LoadState === 'error') {
    const verify = ['systemd-analyze', ...(patient.installed.scope === 'user' ? ['--user'] : []), 'verify', name];
    return fault('unit', 'drop-in-overrides', `systemd does not take ${name} with its drop-ins (${unit.DropInPaths || 'none'}): ${unit.LoadState}.`,
      `It says why:\n${line(patient, verify)}`);
  }
  if (unit.NeedDaemonReload === 'yes' || unit.LoadState === 'not-found') {
    return fault('unit', 'needs-reload', `${name} or a drop-in of it was changed, and systemd has not read it since.`, mendIt(patient));
  }
  return undefined;
}
