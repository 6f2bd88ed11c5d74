import { revtun, systemctlLine } from './cures.ts';
import { CutShort } from './inTime.ts';
import { fault, type Observation } from './observation.ts';
import type { Patient } from './patient.ts';
import { lastReason } from './reason.ts';
import { untilDecided } from './seat.ts';

/**
 * Whatever was seen or could not be: a tunnel that is not up is not well. One that may be on its way gets the time that is left.
 * @param patience milliseconds for that; its machine may end all of it sooner (inTime.ts)
 * @returns undefined when it is up, or when systemd does not say
 */
export async function lastWord(patient: Patient, patience: number): Promise<Observation | undefined> {
  if ((await untilDecided(patient, Math.max(patience, 0))).state === 'up') return undefined;
  const { machine, who, installed } = patient;
  const { unit } = installed.places;
  // The journal may be slow, and that the tunnel is not up is known without it.
  const reason = await lastReason(machine, installed.scope, who, unit).catch((error: unknown) => {
    if (!(error instanceof CutShort)) throw error;
    return undefined;
  });
  return fault(
    'service', 'not-up', `${unit} does not come up, and none of the causes that are looked for here shows${reason === undefined ? '' : `; last reason: ${reason}`}.`,
    `What is marked with ? was not seen; as root more of it is. What the service says, and which of its settings are not from revtun-setup:\n${revtun(patient, 'logs')}\n${systemctlLine(patient, 'cat')}`,
  );
}
