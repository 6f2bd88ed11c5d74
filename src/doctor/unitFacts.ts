import { ExpectedError } from '../errors.ts';
import { lookUntil } from '../machine/lookUntil.ts';
import { systemctl } from '../unit/systemctl.ts';
import { hurried } from './inTime.ts';
import { SYSTEMD_LIMIT } from './machineParts.ts';
import type { Patient } from './patient.ts';

const PROPERTIES = [
  'LoadState', 'ActiveState', 'SubState', 'Result', 'ExecStart', 'UnitFileState', 'NeedDaemonReload', 'DropInPaths', 'NRestarts',
  'Restart', 'StartLimitIntervalUSec', 'User', 'Type', 'Job',
] as const;

/** What systemd says of a tunnel's unit, in its own words (org.freedesktop.systemd1(5)). */
export type UnitFacts = Readonly<Record<(typeof PROPERTIES)[number], string>>;

/**
 * @returns undefined where systemd speaks to root alone
 * @throws ExpectedError `systemd-silent`
 */
export async function readUnit({ machine, who, installed: { scope, places } }: Patient): Promise<UnitFacts | undefined> {
  try {
    return await systemctl(hurried(machine, SYSTEMD_LIMIT), scope, who).show(places.unit, PROPERTIES);
  } catch (error) {
    if (error instanceof ExpectedError && error.id === 'systemd-silent' && scope === 'system' && who.uid !== 0) return undefined;
    throw error;
  }
}

/**
 * Looks until it is as it should be or the time is over: what somebody else is changing at this moment is no fault.
 * @param patience milliseconds
 */
export const readSettled = (patient: Patient, isSettled: (unit: UnitFacts) => boolean, patience: number): Promise<UnitFacts | undefined> =>
  lookUntil((unit) => !unit || isSettled(unit), () => readUnit(patient), { limit: patience, every: 250, signal: patient.signal });

/** What the last start ended with: a number from 200 on says which of the unit's settings systemd could not put into force (systemd.exec(5)). */
export const exitStatus = ({ ExecStart }: UnitFacts) => Number(/; code=exited ; status=(\d+)/.exec(ExecStart)?.[1] ?? 0);
