import { refusalBy } from '../checks/holder.ts';
import type { ExpectedError } from '../errors.ts';
import type { Forward } from '../tunnel/forward.ts';
import { cureFor } from './curesThere.ts';
import type { Observation } from './observation.ts';
import type { Patient } from './patient.ts';
import { atServer, glance } from './seat.ts';

/**
 * Who has the port that the server refused.
 * @returns undefined when it is the service, which has come up meanwhile, or nobody any more
 */
export async function portTrouble(patient: Patient, refusal: ExpectedError, forward: Forward): Promise<Observation | undefined> {
  const { machine, who, tunnel, signal } = patient;
  const isUp = async () => (await glance(patient)).state === 'up';
  if (await isUp()) return undefined;
  const named = await atServer(patient, true, ({ bench, pinned }) => refusalBy({ machine, who, tunnel, bench, pinned }, refusal, forward)).catch((error: unknown) => {
    if (!signal.aborted) throw error;
    return refusal;
  });
  // Once the time is over nothing can be looked at any more, and the server's refusal is known all the same.
  if (signal.aborted) return cureFor(patient, 'forward', refusal);
  return named === undefined || (await isUp()) ? undefined : cureFor(patient, named.id === 'two-devices' ? 'restarts' : 'forward', named);
}
