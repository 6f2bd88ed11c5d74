import { hopsOf, legsOf } from '../checks/journey.ts';
import { publicKeyOf } from '../checks/key.ts';
import { type Attempt, attemptTunnel, madePublic, mayBeOfTheService } from '../checks/trial.ts';
import { wayFailure } from '../checks/way.ts';
import { ExpectedError } from '../errors.ts';
import { describeForwards } from '../tunnel/tunnel.ts';
import { formatForward } from '../tunnel/forward.ts';
import { cureFor } from './curesThere.ts';
import { troubleAt } from './jumpTrouble.ts';
import { lookWithoutKey } from './keyless.ts';
import { type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { portTrouble } from './portTrouble.ts';
import { atServer, type Glance, glance, untilDecided } from './seat.ts';
import { whileItStands } from './standing.ts';
import { linkOf, tell } from './story.ts';
import { fightOver } from './twoDevices.ts';

/**
 * From the server's name to the permission to forward: one login with the service's own configuration. Only where that
 * fails, a look at each link tells why: a sound tunnel is not knocked at more often than needed.
 */
export const loginPart: Part = async function* (patient) {
  const publicKey = await keyForUse(patient);
  if (publicKey === undefined) return yield* lookWithoutKey(patient);
  const { seen, now, asked } = await attemptSteadily(patient, publicKey);
  yield* await tell(patient, seen.said, seen.failure && linkOf(seen.failure.id));
  if (seen.failure) {
    const trouble = await troubleOf(patient, seen, now);
    if (!trouble) return yield* granted(patient, now);
    yield trouble;
    return trouble.level !== 'fault' && now.state === 'up';
  }
  if (seen.exposed.length > 0 && asked) {
    yield cureFor(patient, 'bind', madePublic(patient.tunnel, seen.exposed));
    return false;
  }
  return yield* granted(patient, now);
};

/** A login, and a second one where the service got in between. @returns also whether it asked for the forwards */
async function attemptSteadily(patient: Patient, publicKey: string): Promise<{ seen: Attempt; now: Glance; asked: boolean }> {
  const before = await untilDecided(patient, DECIDING);
  const seen = await attempt(patient, publicKey, before);
  const now = await glance(patient);
  if (!seen.failure || now.moment === before.moment || (now.state !== 'up' && !mayBeOfTheService(seen.failure))) return { seen, now, asked: before.state !== 'up' };
  const again = await attempt(patient, publicKey, now);
  return { seen: again, now: await glance(patient), asked: now.state !== 'up' };
}

/** Milliseconds: an attempt of the service's own that is under way decides itself, or goes on hanging. */
const DECIDING = 1000;
/** Milliseconds: after a refusal the service pauses for 4.5 s. */
const COMING_UP = 6000;

/** @returns undefined where the key is another's */
async function keyForUse({ machine, tunnel }: Patient): Promise<string | undefined> {
  try {
    return await publicKeyOf(machine, tunnel.identityFile);
  } catch (error) {
    if (error instanceof ExpectedError && error.id === 'key-unreadable') return undefined;
    throw error;
  }
}

/**
 * A tunnel that is up has the server's word for every forward, and would be refused them a second time. Where none is
 * up, the way is looked at first: that is sooner than waiting for an ssh.
 */
async function attempt(patient: Patient, publicKey: string, { state }: Glance): Promise<Attempt> {
  const { machine, tunnel } = patient;
  const failure = state === 'up' ? undefined : await wayFailure(machine, hopsOf(tunnel)[0]!, '');
  // Whoever says nothing may be waiting for ssh to begin.
  if (failure && failure.id !== 'server-mute') return { said: '', exposed: [], failure };
  return atServer(patient, true, ({ bench }) => attemptTunnel(tunnel, publicKey, bench, new Set(state === 'up' ? tunnel.forwards.map(formatForward) : [])));
}

/** @returns undefined when it has turned out to be none */
async function troubleOf(patient: Patient, { said, failure, refused }: Attempt, now: Glance): Promise<Observation | undefined> {
  const error = failure!;
  const fight = await fightOver(patient);
  if (fight) return fight;
  const harmless = whileItStands(error, now);
  if (harmless) return harmless;
  if (error.id === 'port-taken' && refused) return portTrouble(patient, error, refused);
  return troubleAt(patient, legsOf(patient.tunnel, said).length - 1, error);
}

async function* granted(patient: Patient, { state }: Glance): AsyncGenerator<Observation, boolean> {
  const forwards = describeForwards(patient.tunnel);
  if (state === 'up') {
    yield sound('forward', `${forwards}: confirmed by the server`);
    return true;
  }
  yield sound('forward', `${forwards}: the server grants it`);
  if (state === 'down') return false;
  if ((await untilDecided(patient, COMING_UP)).state === 'up') {
    yield sound('service', 'it came up while this was looked at');
    return true;
  }
  yield (await fightOver(patient)) ?? unsure('service', 'the server grants all that it needs, and yet it is not up');
  return false;
}
