import { askHostKey, fingerprint } from '../checks/hostKey.ts';
import { hopsOf, nameOf } from '../checks/journey.ts';
import { loginFailure } from '../checks/loginFailure.ts';
import { knownHostsName } from '../tunnel/destination.ts';
import { revtun } from './cures.ts';
import { troubleAt } from './jumpTrouble.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Patient } from './patient.ts';
import { atServer, glance } from './seat.ts';
import { whileItStands } from './standing.ts';
import { linkOf, tell } from './story.ts';

/** As far as anybody gets who may not use the tunnel's key: to the host key of the first host. */
export async function* lookWithoutKey(patient: Patient): AsyncGenerator<Observation, boolean> {
  const { machine, tunnel } = patient;
  const first = hopsOf(tunnel)[0]!;
  const name = knownHostsName(first.host, first.port ?? 22);
  const reach = { ...tunnel, jump: [], host: first.host, user: first.user ?? tunnel.user, port: first.port ?? 22 };
  const { shown, pinned, failure } = await atServer(patient, false, async ({ bench, pinned: lines }) => {
    const ofIt = lines.map((line) => line.split(' ')).flatMap(([host, type, blob]) => (host === name && type !== undefined && blob !== undefined ? [{ type, blob }] : []));
    const asked = await askHostKey(machine, reach, bench, undefined, ofIt.map(({ type }) => type));
    return { shown: asked, pinned: ofIt, failure: asked.key ? undefined : await loginFailure(machine, reach, asked.said, asked.timedOut) };
  });
  yield* await tell({ ...patient, tunnel: reach }, shown.said, failure ? linkOf(failure.id) : 'host key');
  if (failure) {
    const harmless = whileItStands(failure, await glance(patient));
    yield harmless ?? troubleAt(patient, 0, failure);
    return harmless !== undefined;
  }
  const key = shown.key!;
  if (pinned.length > 0 && !pinned.some(({ blob }) => blob === key.blob)) {
    yield fault('host key', 'host-key-changed', `${nameOf(first)} shows ${key.type} ${fingerprint(key)}, which is not the key that is pinned.`, 'Somebody may be in between, or the server was set up anew: compare the fingerprint with that on the server (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub). If they are the same:\n' + revtun(patient, 'install', '--host-key', 'SHA256:…'));
    return false;
  }
  if (pinned.length > 0) yield sound('host key', `${key.type} ${fingerprint(key)} is the pinned one`);
  yield unsure('login', 'the key is not yours to use, so whether the server lets it in is not known: try with sudo');
  return true;
}
