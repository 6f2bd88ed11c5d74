import { dirname } from 'node:path';
import { version } from '../package.ts';
import { HEADER, renderTemplate } from '../template.ts';
import { sshConfig, tunnelArgv } from '../tunnel/ssh.ts';
import { wantsNotices } from '../tunnel/notice.ts';
import { describeForwards, serverOf, toSettings, type Tunnel } from '../tunnel/tunnel.ts';
import { renderNotices } from './notice.ts';
import { type Places, runtimeDirectoryName } from './places.ts';
import { execArgument, execLine, plainValue } from './quote.ts';

/** The host keys of a known_hosts of ours, without its remarks. */
export const hostKeyLines = (content: string) => content.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

/** The system user that every tunnel of the system scope runs as. */
export const SERVICE_USER = 'revtun';

/** The unit file's section that {@link file://./installed.ts} reads back. */
export const RECORD_SECTION = '[X-Revtun]';

/** What the record says besides the tunnel's own settings. */
export interface Remarks {
  /** We switched lingering on for this user, and the last tunnel to go switches it off again. */
  readonly lingering: boolean;
  /** Ordinary users may make user namespaces here, which the sandbox of a user unit is built on. */
  readonly namespaces: boolean;
}

export interface OutputFile {
  readonly path: string;
  readonly content: string;
  readonly mode: number;
}

/**
 * The files of a tunnel, whole, in the order in which they can be put in place: nothing refers to a later one.
 * @param knownHosts lines for the pinned known_hosts
 */
export function renderFiles(tunnel: Tunnel, places: Places, knownHosts: string, remarks: Remarks): OutputFile[] {
  return [
    { path: places.knownHosts, content: `${note(tunnel)}${knownHosts}`, mode: 0o644 },
    { path: places.sshConfig, content: `${note(tunnel)}${sshConfig(tunnel, places.knownHosts)}`, mode: 0o644 },
    ...(wantsNotices(tunnel) ? renderNotices(tunnel, places, note(tunnel)) : []),
    { path: places.unitFile, content: renderUnit(tunnel, places, remarks), mode: 0o644 },
  ];
}

export function renderUnit(tunnel: Tunnel, places: Places, remarks: Remarks): string {
  return renderTemplate('tunnel.service.ejs', {
    version: version(),
    name: tunnel.name,
    unit: places.unit,
    system: tunnel.scope === 'system',
    description: plainValue(`Reverse tunnel ${tunnel.name}: ${describeForwards(tunnel)} by ${serverOf(tunnel)}`),
    // The template begins it, twice where there is something to release: with the program and its flags.
    sshArguments: execLine(tunnelArgv(tunnel, places.sshConfig).slice(2)),
    release: tunnel.release,
    notices: wantsNotices(tunnel) && { path: places.notice.path, script: execLine([places.notice.script]) },
    runtimeDirectory: runtimeDirectoryName(places),
    credential: plainValue(`key:${tunnel.identityFile}`),
    directory: execArgument(places.directory),
    // Sockets of the user's own may lie anywhere, and a sandbox would hide them.
    namespaces: remarks.namespaces && socketPaths(tunnel, 'listen').length + socketPaths(tunnel, 'target').length === 0,
    homes: socketPaths(tunnel, 'target').some((path) => /^\/(home|root|run\/user)\//.test(path)),
    socketDirectories: [...new Set(socketPaths(tunnel, 'listen').map((path) => execArgument(dirname(path))))],
    record: [...toSettings(tunnel), ...(remarks.lingering ? [['Lingering', 'yes']] : [])],
  });
}

/** Unix sockets on this machine: those that ssh connects to, or those that it makes for -L. */
function socketPaths({ forwards }: Tunnel, end: 'listen' | 'target'): string[] {
  const here = forwards.filter(({ kind }) => (kind === 'remote') === (end === 'target')).map((forward) => forward[end]);
  return here.flatMap((endpoint) => (endpoint !== 'socks' && 'path' in endpoint ? [endpoint.path] : []));
}

const note = (tunnel: Tunnel) => `${HEADER} for ${tunnel.name}; made anew by: revtun-setup install ${tunnel.name}\n`;
