import { basename, join } from 'node:path';
import type { Scope } from '../tunnel/tunnel.ts';

/** Where the files of a tunnel lie: systemd.unit(5)'s directories for administrators and users, and one of ours. */
export interface Places {
  readonly unitDirectory: string;
  /** Holds one directory a tunnel. */
  readonly ours: string;
  readonly unit: string;
  readonly unitFile: string;
  readonly directory: string;
  readonly sshConfig: string;
  readonly knownHosts: string;
  /** A key that we made; `.pub` lies beside it. */
  readonly generatedKey: string;
  readonly notice: NoticePlaces;
}

/** Where a repair keeps what it writes over: beside the other files of ours, where systemd takes nothing for a unit. */
export const formerOf = ({ directory }: Pick<Places, 'directory'>, path: string) => join(directory, `${basename(path)}.former`);

/** Copies that a repair may have left. */
export const formerCopies = (places: Places) =>
  [places.sshConfig, places.knownHosts, places.unitFile, places.notice.script, places.notice.serviceFile, places.notice.pathFile].map((path) => formerOf(places, path));

/** What tells people of a tunnel: a queue of news that systemd watches, and a service that takes them out. */
export interface NoticePlaces {
  readonly script: string;
  readonly service: string;
  readonly serviceFile: string;
  readonly path: string;
  readonly pathFile: string;
}

export function placesOf(scope: Scope, name: string, home: string): Places {
  const unitDirectory = unitDirectoryOf(scope, home);
  const ours = scope === 'system' ? '/etc/revtun' : join(home, '.config/revtun');
  const directory = join(ours, name);
  // No tunnel's unit is called so: there is no '@' in a name.
  const [service, path] = [`revtun-notice@${name}.service`, `revtun-notice@${name}.path`];
  return {
    unitDirectory,
    ours,
    unit: unitName(name),
    unitFile: join(unitDirectory, unitName(name)),
    directory,
    sshConfig: join(directory, 'ssh_config'),
    knownHosts: join(directory, 'known_hosts'),
    generatedKey: join(directory, 'key'),
    notice: { script: join(directory, 'notice'), service, serviceFile: join(unitDirectory, service), path, pathFile: join(unitDirectory, path) },
  };
}

export const unitDirectoryOf = (scope: Scope, home: string) =>
  scope === 'system' ? '/etc/systemd/system' : join(home, '.config/systemd/user');

export const unitName = (name: string) => `revtun-${name}.service`;

/** Below /run or the user's own: where the service keeps what is true until it is stopped. */
export const runtimeDirectoryName = ({ unit }: Pick<Places, 'unit'>) => unit.replace(/\.service$/, '');

/** The inverse of {@link unitName}; undefined for what cannot be a unit of ours. */
export const tunnelName = (unit: string) => /^revtun-([^@]+)\.service$/.exec(unit)?.[1];
