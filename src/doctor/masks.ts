import { join } from 'node:path';
import { type Identity, type Machine, runtimeDirectory } from '../machine/machine.ts';
import type { Installed } from '../unit/installed.ts';

/** Where systemd looks before it looks at units like ours (systemd.unit(5), UNIT FILE LOAD PATH). */
const directoriesBefore = ({ scope }: Pick<Installed, 'scope'>, who: Identity) =>
  scope === 'system'
    ? ['/etc/systemd/system.control', '/run/systemd/system.control', '/run/systemd/transient', '/run/systemd/generator.early']
    : [join(who.home, '.config/systemd/user.control'), ...['user.control', 'transient', 'generator.early'].map((name) => join(runtimeDirectory(who), 'systemd', name))];

/** The link to /dev/null by which a unit is masked that is there all the same. (systemd 247 names /dev/null itself as its file.) */
export async function findMask(machine: Machine, who: Identity, installed: Pick<Installed, 'scope' | 'places'>): Promise<string | undefined> {
  for (const directory of directoriesBefore(installed, who)) {
    const path = join(directory, installed.places.unit);
    if (await isMask(machine, path)) return path;
  }
  return undefined;
}

/** Whether a path is a link to /dev/null. */
export async function isMask(machine: Machine, path: string): Promise<boolean> {
  return (await machine.stat(path))?.kind === 'symlink' && (await machine.run(['readlink', '--', path])).stdout.trim() === '/dev/null';
}
