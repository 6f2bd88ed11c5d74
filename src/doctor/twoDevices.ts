import { cureOfCopies } from '../checks/holder.ts';
import { recognise } from '../checks/sshFailure.ts';
import { fault, type Observation } from './observation.ts';
import type { Patient } from './patient.ts';
import { type Drop, dropsSince } from './reason.ts';

/** Each ends the other's session when it logs in, and is back half a second after its own was ended: many times a minute. */
const [FIGHTING, AT_LEAST, SOON] = [180_000, 3, 15_000];
/** Milliseconds without a drop after which it is over: the other one has been switched off, or has an account of its own. */
const OVER = 30_000;

/**
 * Whether another machine logs in with the same account: then each ends the other's session on arrival, over and over.
 * A session that the server closed by itself leaves nothing for the next arrival to end, and neither does a dead link
 * end without a word of ssh's: only somebody else who has come in between shows as both.
 */
export const isFight = (drops: readonly Drop[], now = Date.now()) => now - (drops.at(-1)?.at.getTime() ?? 0) < OVER && drops.filter(({ at, lasted, reason, released }) =>
  now - at.getTime() < FIGHTING && lasted < SOON && (reason === undefined || recognise(reason)?.id === 'server-closed') && (released ?? 0) > 0).length >= AT_LEAST;

/** The finding that takes the place of what only follows from it. */
export async function fightOver({ machine, who, tunnel, installed: { scope, places } }: Patient): Promise<Observation | undefined> {
  if (!tunnel.release) return undefined;
  const drops = await dropsSince(machine, scope, who, places.unit, new Date(Date.now() - FIGHTING));
  return drops && isFight(drops) ? twoDevices(`Another machine logs in to ${tunnel.host} as ${tunnel.user}, too: each ends the other's session, ${drops.length} times in the last ${FIGHTING / 60_000} min.`, tunnel.host) : undefined;
}

export const twoDevices = (says: string, host: string) => fault('restarts', 'two-devices', says, cureOfCopies(host));
