import { setTimeout as sleep } from 'node:timers/promises';
import { requireLocalPortsFree } from '../checks/preflight.ts';
import { ExpectedError } from '../errors.ts';
import { faultOf, sound } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { glance } from './seat.ts';

/** Milliseconds: an attempt of the service's own has the ports for no longer, unless it succeeds. */
const [LOOKS, APART] = [3, 500];

/** What -L and -D listen on is this machine's: whoever has that keeps the whole tunnel down. */
export const localPortsPart: Part = async function* (patient) {
  if (!patient.tunnel.forwards.some(({ kind }) => kind !== 'remote')) return true;
  const taken = await whoIsInTheWay(patient);
  yield taken ? faultOf('local ports', taken) : sound('local ports', 'the tunnel has them, or may have them');
  return taken === undefined;
};

/** @returns undefined also where it is the tunnel itself */
async function whoIsInTheWay(patient: Patient): Promise<ExpectedError | undefined> {
  let found: ExpectedError | undefined;
  for (let looks = 0; looks < LOOKS; looks += 1) {
    if (looks > 0) await sleep(APART);
    if ((await glance(patient)).state === 'up') return undefined;
    found = await requireLocalPortsFree(patient.machine, patient.tunnel, undefined).then(() => undefined, (error: unknown) => {
      if (error instanceof ExpectedError) return error;
      throw error;
    });
    if (!found) return undefined;
  }
  return found;
}
