import { lookUntil } from '../machine/lookUntil.ts';
import { readShared } from '../plan/present.ts';
import { mendIt, systemctlLine } from './cures.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { lastReason } from './reason.ts';
import { formatDuration, readState, type ServiceState } from './state.ts';
import { exitStatus, readSettled, readUnit, type UnitFacts } from './unitFacts.ts';

/** Whether it comes back after a reboot, and stays after a logout. */
export const bootPart: Part = async function* (patient) {
  const { machine, who, installed: { scope, places } } = patient;
  const unit = await readUnit(patient);
  if (!unit) yield unsure('boot', 'whether it is started at boot, systemd tells only root: try with sudo');
  else if (unit.UnitFileState !== 'enabled') {
    yield fault('boot', 'not-enabled', `${places.unit} is not started at boot (it is ${unit.UnitFileState}).`, `${mendIt(patient)}\nor:\n${systemctlLine(patient, 'enable')}`);
  } else if (scope === 'user' && !(await readShared(machine, who)).lingering) {
    yield fault('boot', 'lingering-off', `The tunnel ends when ${who.userName} logs out, and does not start at boot: lingering is off.`, `Mend it:\n  sudo loginctl enable-linger ${who.userName}`);
  } else yield sound('boot', scope === 'user' ? 'started at boot, without a login' : 'started at boot');
  return true;
};

/** Milliseconds: a restart and its pause, on a machine that is busy. */
const RESTARTING = 1500;

/** What systemd makes of it. That it does not come up yet is no fault: the cause is one of those that are looked for next. */
export const servicePart: Part = async function* (patient) {
  const isSettled = ({ ActiveState, SubState }: UnitFacts) => ActiveState === 'active' || ActiveState === 'failed' || SubState === 'auto-restart';
  const unit = await readSettled(patient, isSettled, RESTARTING);
  const seen = unit ? await describe(patient, unit) : unsure('service', 'systemd says nothing of it to you: try with sudo');
  yield seen;
  // Whether it would come up if it were started is still worth knowing.
  return seen.level !== 'fault' || seen.finding === 'stopped' || seen.finding === 'gave-up';
};

async function describe(patient: Patient, unit: UnitFacts): Promise<Observation> {
  const { machine, installed } = patient;
  const { places } = installed;
  if (unit.ActiveState === 'active') return running(patient);
  const see = `See what it says:\n${systemctlLine(patient, 'status')}`;
  const status = exitStatus(unit);
  const reason = await lastReason(machine, installed.scope, patient.who, places.unit);
  const because = reason === undefined ? '' : `; last reason: ${reason}`;
  // Of what ended before ssh began, ssh has nothing to say.
  const why = reason?.startsWith('Failed ') === true ? `: ${reason}` : '';
  if (unit.Result === 'oom-kill') {
    return fault('service', 'out-of-memory', `${places.unit} was ended for want of memory, by the kernel or systemd-oomd.`,
      'See what takes it, and end that or give it a limit (MemoryMax=):\n  ps -eo rss,args --sort=-rss | head');
  }
  if (status === 203) return fault('service', 'program-missing', `systemd cannot start /bin/sh for ${places.unit}${why}.`, see);
  if (status > 203 && status <= 243) return fault('service', 'sandbox-failed', `systemd cannot put a setting of ${places.unit} into force (status ${status})${why}.`, see);
  if (unit.ActiveState === 'activating') return unsure('service', `connecting, attempt ${Number(unit.NRestarts) + 1}${because}`);
  if (unit.ActiveState === 'failed') {
    return fault('service', 'gave-up', `${places.unit} failed (${unit.Result}), and systemd does not try again${unit.Result === 'start-limit-hit' ? '' : because}.`, mendIt(patient));
  }
  if (unit.ActiveState === 'inactive' && unit.Job === '') return fault('service', 'stopped', `${places.unit} is stopped.`, `Start it:\n${systemctlLine(patient, 'start')}`);
  return unsure('service', `systemd says: ${unit.ActiveState} (${unit.SubState})`);
}

async function running(patient: Patient): Promise<Observation> {
  const { machine, who, installed, signal } = patient;
  // An installation elsewhere restarts it a moment after it has written the unit.
  const isCurrent = (now: ServiceState) => !now.outdated;
  const { outdated, since, state } = await lookUntil(isCurrent, () => readState(machine, who, installed), { limit: RESTARTING, every: 250, signal });
  if (state !== 'up') return unsure('service', 'it is just being restarted');
  if (outdated) {
    return fault('service', 'outdated', `${installed.places.unit} runs with its former settings, until it is restarted.`,
      `That cuts the connection for a moment:\n${systemctlLine(patient, 'restart')}`);
  }
  return sound('service', `up${since ? ` for ${formatDuration(Date.now() - since.getTime())}` : ''}: the server has confirmed every forward`);
}
