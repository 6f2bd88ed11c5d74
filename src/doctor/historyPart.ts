import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part } from './patient.ts';
import { type Drop, dropsSince } from './reason.ts';
import { revtun } from './cures.ts';
import { formatDuration } from './state.ts';
import { isFight, twoDevices } from './twoDevices.ts';
import { readUnit } from './unitFacts.ts';

const HOUR = 3_600_000;

/**
 * So many drops of a tunnel that was up, within so many milliseconds, are no accident any more. A tunnel that has stood
 * for as long as none of these did is mended.
 */
const [TOO_MANY, WITHIN, MENDED] = [5, 600_000, 240_000];

export function hasTooMany(drops: readonly Drop[], now = Date.now()): boolean {
  const ages = drops.map(({ at }) => now - at.getTime());
  return Math.min(...ages) < MENDED && ages.filter((age) => age < WITHIN).length >= TOO_MANY;
}

/** How often it went down though nobody asked for it, and why. */
export const historyPart: Part = async function* (patient) {
  const { machine, who, installed, tunnel } = patient;
  const drops = await dropsSince(machine, installed.scope, who, installed.places.unit, new Date(Date.now() - HOUR));
  if (!drops) {
    const restarts = (await readUnit(patient))?.NRestarts;
    const told = restarts === undefined ? 'how often, systemd does' : `${restarts} since it was started; why, the journal does`;
    yield restarts === '0' ? sound('restarts', 'none since it was started') : unsure('restarts', `${told} not tell you${who.uid === 0 ? '' : ': try with sudo'}`);
    return true;
  }
  const said = inWords(drops);
  if (tunnel.release && isFight(drops)) {
    yield twoDevices(`Another machine logs in to ${tunnel.host} as ${tunnel.user}, too: each ends the other's session (${said}).`, tunnel.host);
    return false;
  }
  yield hasTooMany(drops) ? unstable(said, revtun(patient, 'logs')) : sound('restarts', said);
  return !hasTooMany(drops);
};

function inWords(drops: readonly Drop[]): string {
  const last = drops.at(-1);
  if (!last) return 'it did not drop in the last hour';
  const why = last.reason ?? 'the server closed the connection';
  return `it dropped ${drops.length === 1 ? 'once' : `${drops.length} times`} in the last hour, last ${formatDuration(Date.now() - last.at.getTime())} ago: ${why}`;
}

const unstable = (said: string, logs: string): Observation => fault(
  'restarts', 'unstable', `The tunnel comes up and drops again and again: ${said}.`,
  `Its reasons, one by one:\n${logs}\n"Timeout, server not responding" is the line (a weak radio link, a NAT that forgets: look at its power supply and signal); closed by the server is the server (on it: sudo journalctl -u ssh -u sshd -n 100; dmesg).`,
);
