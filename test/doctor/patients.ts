import type { Facts } from '../../src/checks/facts.ts';
import { local } from '../../src/machine/local.ts';
import type { FileStat, Identity, Machine, RunResult } from '../../src/machine/machine.ts';
import type { Observation } from '../../src/doctor/observation.ts';
import type { Host, Part, Patient } from '../../src/doctor/patient.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { placesOf } from '../../src/unit/places.ts';
import { renderFiles } from '../../src/unit/render.ts';
import { exampleTunnel } from '../tunnel/example.ts';

export const root: Identity = { uid: 0, userName: 'root', home: '/root', env: {} };
export const ann: Identity = { uid: 1000, userName: 'ann', home: '/home/ann', env: {} };

/** A machine of which only this is known: what lies where, and what its programs say. */
export interface Known {
  readonly files?: Readonly<Record<string, string | Partial<FileStat & { readonly content: string; readonly denied: true }>>>;
  /** By the first words of a command, the longest first; the rest ends with code 127. */
  readonly says?: Readonly<Record<string, string | Partial<RunResult>>>;
}

export function machineOf({ files = {}, says = {} }: Known): Machine {
  const result = (said: Partial<RunResult>): RunResult => ({ code: 0, stdout: '', stderr: '', timedOut: false, stopped: false, ...said });
  const look = (path: string) => {
    const found = files[path];
    const file = typeof found === 'string' ? { content: found } : found;
    if (file?.denied === true) throw Object.assign(new Error(`EACCES: ${path}`), { code: 'EACCES' });
    return file;
  };
  return {
    ...local,
    read: async (path) => {
      const content = look(path)?.content;
      return content === undefined ? undefined : Buffer.from(content);
    },
    stat: async (path) => {
      const { content, ...stat } = { content: '', ...look(path) };
      return files[path] === undefined ? undefined : { kind: 'file', mode: 0o644, uid: 0, gid: 0, size: content.length, ...stat };
    },
    list: async (directory) => Object.keys(files).filter((path) => path.startsWith(`${directory}/`)).map((path) => path.slice(directory.length + 1)).filter((name) => !name.includes('/')),
    run: async (argv) => {
      const command = argv.join(' ');
      const key = Object.keys(says).toSorted((a, b) => b.length - a.length).find((words) => command.startsWith(words));
      const said = key === undefined ? { code: 127 } : says[key]!;
      return result(typeof said === 'string' ? { stdout: said } : said);
    },
  };
}

const fine: Omit<Facts, 'who'> = { systemd: 252, managers: { system: true, user: true }, ssh: { version: 9.2, text: 'OpenSSH 9.2p1' }, aes: true, selinux: false, namespaces: true };

export const hostOf = (known: Known, who = root, facts: Partial<Facts> = {}): Host =>
  ({ machine: machineOf(known), who, facts: { ...fine, who, ...facts }, signal: new AbortController().signal });

const KEY = 'tunl.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJX2nHwQ9q3m5Jp7mKb0TzZ5Xb0Wl6v2m1kHq8N0s1rD';

/** systemd's answer about a service that is up, with changes. */
export const shows = (changes: Readonly<Record<string, string>> = {}) =>
  Object.entries({
    LoadState: 'loaded', ActiveState: 'active', SubState: 'running', Result: 'success', ExecStart: '{ path=/bin/sh ; code=exited ; status=0 }', UnitFileState: 'enabled',
    NeedDaemonReload: 'no', DropInPaths: '', NRestarts: '0', Restart: 'always', StartLimitIntervalUSec: '0',
    User: 'revtun', Type: 'forking', Job: '', ControlGroup: '', StateChangeTimestamp: 'Sun 2026-11-22 08:00:00 UTC', ...changes,
  }).map(([name, value]) => `${name}=${value}\n`).join('');

/** A tunnel of the system that is installed and well, but for what is said otherwise. */
export function patientOf(known: Known = {}, { tunnel = exampleTunnel(), who = root }: { tunnel?: Tunnel; who?: Identity } = {}): Patient {
  const places = placesOf(tunnel.scope, tunnel.name, who.home);
  const files = Object.fromEntries(renderFiles(tunnel, places, `${KEY}\n`, { lingering: false, namespaces: true }).map(({ path, content }) => [path, content]));
  const says = { 'ssh-keygen -F tunl.example.com': `${KEY}\n`, 'ssh-keygen -y': 'ssh-ed25519 AAAAC3 pi@kiosk', 'systemctl show': shows(), 'getent passwd': 'revtun:x:998:998:revtun-setup tunnels:/nonexistent:/usr/sbin/nologin', journalctl: '', 'env XDG_RUNTIME_DIR': shows({ User: '' }) };
  return {
    ...hostOf({ files: { ...files, [tunnel.identityFile]: { content: '-----BEGIN OPENSSH PRIVATE KEY-----', mode: 0o600 }, ...known.files }, says: { ...says, ...known.says } }, who),
    installed: { name: tunnel.name, scope: tunnel.scope, places, tunnel, lingering: false },
    tunnel,
  };
}

/** All that a part says, and whether it goes on. */
export async function seen<Of>(part: Part<Of>, of: Of): Promise<{ observations: Observation[]; goesOn: boolean }> {
  const run = part(of);
  const observations: Observation[] = [];
  for (;;) {
    const next = await run.next();
    if (next.done === true) return { observations, goesOn: next.value };
    observations.push(next.value);
  }
}

/** The first of it, in short: the finding, or the level where there is none. */
export const headline = async <Of>(part: Part<Of>, of: Of) => {
  const { observations } = await seen(part, of);
  const [first] = observations;
  return first?.finding ?? first?.level;
};
