import { readShared } from '../plan/present.ts';
import { SERVICE_USER } from '../unit/render.ts';
import { compare, filesBeside } from './asWritten.ts';
import { line, mendIt } from './cures.ts';
import { fault, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';

/** What the unit refers to: ssh's configuration, what tells people of a drop, and the user that it runs as. */
export const filesPart: Part = async function* (patient) {
  const { machine, who, installed: { places, scope } } = patient;
  const files = filesBeside(patient);
  const compared = await Promise.all(files.map(async (path) => ({ path, found: await compare(patient, path) })));
  for (const { path, found } of compared) {
    if (found.is !== 'missing' && found.is !== 'altered') continue;
    yield fault('files', 'config-altered', `${path} ${found.is === 'missing' ? 'is gone' : `is not as revtun-setup wrote it: ${found.how}`}.`, mendIt(patient));
    return false;
  }
  const user = scope === 'system' ? (await readShared(machine, who)).serviceUser : 'ours';
  if (user === 'absent') {
    yield fault('files', 'service-user-missing', `There is no user "${SERVICE_USER}" on this machine, which the service runs as.`, mendIt(patient));
    return false;
  }
  const hidden = user === 'ours' ? await hiddenFromService(patient) : undefined;
  if (hidden !== undefined) {
    yield fault('files', 'config-altered', `${hidden} may not be read by the user ${SERVICE_USER}, which the service runs as.`,
      `Let it:\n${line(patient, ['chmod', 'a+rX', places.ours, places.directory, places.sshConfig, places.knownHosts])}`);
    return false;
  }
  const other = compared.map(({ found }) => found).find((found) => found.is === 'other');
  if (other) yield unsure('files', `${places.sshConfig} was written by revtun-setup ${other.version}`);
  else if (user === 'foreign') yield unsure('files', `the user ${SERVICE_USER} does not look as revtun-setup makes it`);
  else yield sound('files', `${places.sshConfig} as written${scope === 'system' ? `, and the user ${SERVICE_USER}` : ''}`);
  return true;
};

/** The first of its files that the service cannot reach; root, who looks at them here, always may. */
async function hiddenFromService({ machine, who, installed: { places, scope } }: Patient): Promise<string | undefined> {
  if (scope !== 'system' || who.uid !== 0) return undefined;
  for (const path of [places.sshConfig, places.knownHosts]) {
    if (!(await machine.stat(path))) continue;
    const { code, stderr } = await machine.run(['setpriv', `--reuid=${SERVICE_USER}`, `--regid=${SERVICE_USER}`, '--init-groups', 'test', '-r', path], { timeoutMs: 3000 });
    // test(1) says no without a word; a setpriv that cannot do this (BusyBox has one) says so, and ends with 1 as well.
    if (code === 1 && stderr === '') return path;
  }
  return undefined;
}
