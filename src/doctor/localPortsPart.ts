import { setTimeout as sleep } from 'node:timers/promises';
import { requireLocalPortsFree } from '../checks/preflight.ts';
import { ExpectedError } from '../errors.ts';
import type { Forward } from '../tunnel/forward.ts';
import { faultOf, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { glance } from './seat.ts';

/** Milliseconds: an attempt of the service's own has the ports for no longer, unless it succeeds. */
const [LOOKS, APART] = [3, 500];

/** What -L and -D listen on is this machine's: whoever has that keeps the whole tunnel down. */
export const localPortsPart: Part = async function* (patient) {
  if (!patient.tunnel.forwards.some(({ kind }) => kind !== 'remote')) return true;
  const inTheWay = await whoIsInTheWay(patient);
  yield inTheWay ?? sound('local ports', 'the tunnel has them, or may have them');
  return inTheWay?.level !== 'fault';
};

/** @returns undefined also where it is the tunnel itself */
async function whoIsInTheWay(patient: Patient): Promise<Observation | undefined> {
  let found: Observation | undefined;
  for (let looks = 0; looks < LOOKS; looks += 1) {
    if (looks > 0) await sleep(APART);
    if ((await glance(patient)).state === 'up') return undefined;
    const seen = await Promise.all(patient.tunnel.forwards.map((forward) => lookAt(patient, forward)));
    found = seen.find((one) => one?.level === 'fault') ?? seen.find((one) => one !== undefined);
    if (found?.level !== 'fault') return found;
  }
  return found;
}

async function lookAt({ machine, tunnel, who }: Patient, forward: Forward): Promise<Observation | undefined> {
  try {
    await requireLocalPortsFree(machine, { ...tunnel, forwards: [forward] }, undefined);
    return undefined;
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error;
    const path = error.id === 'port-in-use-here' && 'path' in forward.listen ? forward.listen.path : undefined;
    // What ssh leaves behind when it ends is the service's user's alone. Whether anybody listens at it is not for all to know.
    if (path !== undefined && (await machine.dial({ path }, 1000)).outcome === 'forbidden') {
      return unsure('local ports', `whether somebody listens at ${path}, ${who.userName} may not find out: try with sudo`);
    }
    return faultOf('local ports', error);
  }
}
