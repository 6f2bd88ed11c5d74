import { publicKeyOf } from '../checks/key.ts';
import { lookUp } from '../checks/hostKey.ts';
import { ExpectedError } from '../errors.ts';
import { commandLine } from '../shell.ts';
import { knownHostsName } from '../tunnel/destination.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { octal } from './asWritten.ts';
import { change, line, mendIt, revtun } from './cures.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';

/** The private key: there, usable by a service, and nobody else's. */
export const keyPart: Part = async function* (patient) {
  const { machine, who, tunnel: { identityFile: path } } = patient;
  try {
    const [type = ''] = (await publicKeyOf(machine, path)).split(' ');
    yield sound('key', `${path}: ${type.replace(/^ssh-|^ecdsa-sha2-/, '')}, ${await ownerAndMode(patient)}no passphrase`);
    return true;
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error;
    // A service of the user's own reads it as that user.
    if (error.id === 'key-unreadable' && who.uid !== 0 && patient.installed.scope === 'system') {
      yield unsure('key', `${path} may only be read by root: try with sudo`);
      return true;
    }
    yield unusable(patient, error);
    return false;
  }
};

async function ownerAndMode({ machine, who, tunnel: { identityFile } }: Patient): Promise<string> {
  const stat = await machine.stat(identityFile);
  if (stat?.kind !== 'file') return '';
  const owner = stat.uid === 0 ? "root's" : stat.uid === who.uid ? `${who.userName}'s` : `of user ${stat.uid}`;
  return `${owner}, mode ${octal(stat.mode)}, `;
}

/** The words of an install, which names the flag that the path came from. */
function unusable(patient: Patient, { id, message }: ExpectedError): Observation {
  const { identityFile: path } = patient.tunnel;
  const anew = `Or have a new one made, and admitted by the server:\n${change(patient, '--generate-key')}`;
  const cures: Readonly<Record<string, string>> = {
    'key-missing': `Put it back from a backup. ${anew}`,
    'key-unreadable': patient.installed.scope === 'user'
      ? `Make it yours:\n  ${commandLine(['sudo', 'chown', patient.who.userName, path])}`
      : `Something keeps even root from it (SELinux, a network file system). Name another:\n${change(patient, '--key', '/root/.ssh/id_ed25519')}`,
    'key-too-open': mendIt(patient),
    'key-passphrase': `Take the passphrase off:\n${line(patient, ['ssh-keygen', '-p', '-f', path])}\n${anew}`,
    'key-not-private': `Put the private key there. ${anew}`,
    'key-needs-touch': `Have one made that needs no touch, and admitted by the server:\n${change(patient, '--generate-key')}`,
  };
  return fault('key', id, message.replace(/^--key: (.)/, (_flag, first: string) => first.toUpperCase()), cures[id] ?? anew);
}

/** The pinned host keys: without one, ssh refuses the server or jump host. */
export const pinnedPart: Part = async function* (patient) {
  const { machine, installed: { places } } = patient;
  const names = hopNames(patient.tunnel);
  const cure = `Somebody who can log in there reads its fingerprint out (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then:\n${revtun(patient, 'install', '--host-key')} SHA256:…`;
  if (!(await machine.read(places.knownHosts))) {
    yield fault('pinned', 'not-pinned', `${places.knownHosts} is gone, which holds the host keys of ${names.join(' and ')}.`, cure);
    return false;
  }
  const found = await Promise.all(names.map(async (name) => ({ name, keys: await lookUp(machine, name, places.knownHosts) })));
  const lacking = found.filter(({ keys }) => keys.length === 0);
  if (lacking.length > 0) {
    yield fault('pinned', 'not-pinned', `${places.knownHosts} holds no host key of ${lacking.map(({ name }) => name).join(' and ')}.`, cure);
    return false;
  }
  yield sound('pinned', found.map(({ name, keys }) => `${name}: ${keys.map(({ key }) => key.type).join(', ')}`).join('; '));
  return true;
};

/** How known_hosts names the server and each jump host, in the order in which they are met. */
export const hopNames = ({ jump, host, port }: Pick<Tunnel, 'jump' | 'host' | 'port'>) =>
  [...jump, { host, port }].map((hop) => knownHostsName(hop.host, hop.port ?? 22));
