import { dirname } from 'node:path';
import { failed } from '../errors.ts';
import type { FileStat, Machine } from '../machine/machine.ts';
import { isDeviceAccount } from '../tunnel/tunnel.ts';
import { accountOf, type Device, readKeyFile } from './device.ts';
import { parseParts, partsScript } from './parts.ts';
import { SERVER } from './places.ts';
import { type Connection, type Listener, readSockets, type ServerClock } from './sockets.ts';

/** What a server has now, as far as its end of tunnels is concerned. */
export interface ServerState {
  /** As sshd names itself: `OpenSSH_9.2p1`. */
  readonly openssh: string;
  /** What `sshd -T` prints: keywords in lower case, each with its values. */
  readonly settings: ReadonlyMap<string, readonly string[]>;
  /** What sshd says of its configuration though it takes it, such as that an option is deprecated; empty where it is silent. */
  readonly complaint: string;
  /** Files of its configuration that were changed since sshd read them; empty where it reads them for each login. */
  readonly unread: readonly string[];
  /** Whether sshd reads the directory of drop-ins, for every login. */
  readonly includesDropIns: boolean;
  readonly sshd: SshdService;
  /** systemd listens in sshd's stead, and starts it when somebody comes. */
  readonly activated: boolean;
  readonly systemd: boolean;
  readonly selinux: { readonly enforcing: boolean; readonly semanage: boolean; readonly restorecon: boolean };
  /** By path; of {@link WATCHED}, only what exists. */
  readonly files: ReadonlyMap<string, ServerFile>;
  /** Those of its directories that hold nothing. */
  readonly emptyDirectories: ReadonlySet<string>;
  /** Everything that is called as our accounts are, by name. */
  readonly accounts: ReadonlyMap<string, Account>;
  /** Whom sshd asks for keys as, or who is called so; undefined where there is none. */
  readonly keysUser: Account | undefined;
  /** Group ids by name, of groups that are called as ours are. */
  readonly groups: ReadonlyMap<string, number>;
  /** In the range of devices. */
  readonly takenUids: ReadonlySet<number>;
  /** What lies in the directory of keys, by name. */
  readonly keyFiles: ReadonlyMap<string, ServerFile>;
  /** Accounts of ours with a key file that can be read back. */
  readonly devices: readonly Device[];
  readonly listeners: readonly Listener[];
  readonly connections: readonly Connection[];
  /** Processes that run as an account of ours, by uid. */
  readonly processes: ReadonlyMap<number, number>;
  readonly hostKeys: readonly HostPublicKey[];
  /** The lowest port that the kernel gives to outgoing connections. */
  readonly firstEphemeralPort: number;
  readonly now: Date;
}

/** How sshd is told that its configuration has changed; `per-connection`: each login starts one that reads it anyway. */
export type SshdService = 'ssh.service' | 'sshd.service' | 'per-connection' | 'by-signal';

export interface ServerFile extends Omit<FileStat, 'size'> {
  /** Of regular files that could be read; undefined for the rest. */
  readonly content: string | undefined;
}

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
  readonly home: string;
  readonly shell: string;
}

export interface HostPublicKey {
  readonly type: string;
  readonly blob: string;
}

/** GECOS of the accounts that we make, by which they are known as ours again. */
export const DEVICE_COMMENT = 'revtun-setup device';
/** The same, of {@link SERVER.keysUser}. */
export const KEYS_COMMENT = 'revtun-setup keys';

/** No other range of uids is assigned here (UIDS-GIDS of systemd). */
export const DEVICE_UIDS = { first: 65_536, last: 99_999 } as const;

const WATCHED = [
  SERVER.configuration, SERVER.script, dirname(SERVER.dropIn), SERVER.dropIn, SERVER.mainConfig,
  SERVER.sessionDirectory, SERVER.session, SERVER.restore, SERVER.armed, SERVER.restoring, SERVER.keys,
];

/** Milliseconds; 10,000 devices take a second, and a slow line brings their keys. */
const READING_LIMIT = 60_000;

/** Reads all of it in one run of one script. @throws ExpectedError where there is no sshd, or not root's rights */
export async function readServer(machine: Machine): Promise<ServerState> {
  const { code, stdout, stderr, timedOut } = await machine.run(['sh', '-c', partsScript('state'), 'sh', ...WATCHED], { timeoutMs: READING_LIMIT });
  if (code !== 0 || timedOut) throw failed('server-unreadable', `The server cannot be looked at: ${timedOut ? `no end after ${READING_LIMIT / 1000} s` : stderr.trim() || `exit code ${code}`}`);
  return parseServer(stdout);
}

/** Reads what templates/server-state.sh prints. @throws ExpectedError */
export function parseServer(printed: string): ServerState {
  const parts = parseParts(printed);
  const part = (name: string) => parts.get(name) ?? '';
  const openssh = /OpenSSH_[\w.]+/.exec(part('openssh'))?.[0];
  const settings = parseSettings(part('settings'));
  const complaint = part('complaint').trim();
  if (openssh === undefined) throw failed('no-sshd-there', 'There is no OpenSSH server (sshd) on that machine.', 'Install it there: apt-get install openssh-server');
  if (settings.size === 0) throw failed('sshd-broken', `sshd does not accept its own configuration as it is: ${complaint}`, 'Mend that first; sshd -t says when it is right.');

  const files = new Map([...parseNodes(part('nodes'))].map(([path, node]) => [path, { ...node, content: node.kind === 'file' ? parts.get(`file:${path}`) : undefined }]));
  // Where sshd is, there is a directory for its configuration at least.
  if (files.size === 0) throw failed('server-unreadable', 'The server cannot be looked at: find there does not know -printf.', 'Install GNU findutils there.');
  const contents = parseKeyLines(part('keylines'));
  const keyFiles = new Map([...parseNodes(part('keynodes'))].map(([name, node]) => [name, { ...node, content: node.kind === 'file' ? (contents.get(name) ?? '') : undefined }]));
  const units = part('units').split('\n');
  const sshd = serviceIn(units);
  const everyone = parseAccounts(part('accounts'));
  const clock = parseClock(part('clock'));
  const { listeners, connections } = readSockets({ sockets: part('sockets'), processes: part('processes'), started: part('started'), opened: part('opened') }, clock);
  const accounts = new Map(everyone.filter(({ name }) => isDeviceAccount(name)).map((account) => [account.name, account]));
  const [tools, processes] = [new Set(part('tools').split('\n')), new Map<number, number>()];
  for (const line of part('processes').split('\n').filter((one) => one !== '')) {
    const uid = Number(line.split(' ')[1]);
    processes.set(uid, (processes.get(uid) ?? 0) + 1);
  }
  return {
    openssh, settings, complaint, sshd, files, accounts, keyFiles, activated: units[2] === 'active' || units[3] === 'active', keysUser: everyone.find(({ name }) => name === SERVER.keysUser), listeners, connections, processes,
    includesDropIns: includesDropIns(part(`file:${SERVER.mainConfig}`)),
    unread: sshd === 'per-connection' ? [] : part('unread').split('\n').filter((path) => path !== ''),
    emptyDirectories: new Set(part('empty').split('\0').filter((path) => path !== '')),
    systemd: tools.has('systemd'),
    selinux: { enforcing: tools.has('enforcing'), semanage: tools.has('semanage'), restorecon: tools.has('restorecon') },
    groups: new Map(part('groups').split('\n').filter((line) => line !== '').map((line) => [line.split(':')[0]!, Number(line.split(':')[2])])),
    takenUids: new Set(everyone.map(({ uid }) => uid)),
    devices: [...accounts.values()].flatMap((account): Device[] => {
      const device = readKeyFile(account.uid, keyFiles.get(String(account.uid))?.content ?? '');
      return device && accountOf(device.name) === account.name ? [device] : [];
    }),
    hostKeys: part('hostkeys').split('\n').flatMap((line) => {
      const [type = '', blob = ''] = line.split(' ');
      return blob === '' ? [] : [{ type, blob }];
    }),
    firstEphemeralPort: Number.parseInt(part('ephemeral'), 10) || 32_768,
    now: new Date(clock.now * 1000),
  };
}

/** Lines of `KEYWORD VALUE`, as `sshd -T` prints them; a keyword with several values has several lines. */
export function parseSettings(text: string): ReadonlyMap<string, readonly string[]> {
  const settings = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [, keyword, value = ''] = /^(\S+)(?: (.*))?$/.exec(line) ?? [];
    if (keyword !== undefined) settings.set(keyword, [...(settings.get(keyword) ?? []), value]);
  }
  return settings;
}

/** Before the first Match an Include holds for every login (sshd_config(5)); a relative path starts at /etc/ssh. */
export function includesDropIns(mainConfig: string): boolean {
  const lines = mainConfig.split('\n').map((line) => line.trim());
  const firstMatch = lines.findIndex((line) => /^match[\s=]/i.test(line));
  return lines.slice(0, firstMatch === -1 ? undefined : firstMatch).some((line) => {
    const [, paths] = /^include(?:\s*=\s*|\s+)(.+)$/i.exec(line) ?? [];
    return paths?.split(/\s+/).some((path) => /^"?(\/etc\/ssh\/)?sshd_config\.d\/\*(\.conf)?"?$/.test(path)) === true;
  });
}

const KINDS: Readonly<Record<string, FileStat['kind']>> = { f: 'file', d: 'directory', l: 'symlink', s: 'socket' };

function parseNodes(text: string): Map<string, Omit<ServerFile, 'content'>> {
  const fields = text.split('\0');
  const nodes = new Map<string, Omit<ServerFile, 'content'>>();
  for (let at = 0; at + 4 < fields.length; at += 5) {
    const [path = '', kind = '', mode = '', uid, gid] = fields.slice(at, at + 5);
    nodes.set(path, { kind: KINDS[kind] ?? 'other', mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) });
  }
  return nodes;
}

/** Lines of a path, NUL, and a line of that file. */
function parseKeyLines(text: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const line of text.split('\n')) {
    const nul = line.indexOf('\0');
    if (nul === -1) continue;
    const name = line.slice(line.lastIndexOf('/', nul) + 1, nul);
    files.set(name, `${files.get(name) ?? ''}${line.slice(nul + 1)}\n`);
  }
  return files;
}

function parseAccounts(passwd: string): Account[] {
  return passwd.split('\n').filter((line) => line !== '').map((line) => {
    const [name = '', , uid, gid, comment = '', home = '', shell = ''] = line.split(':');
    return { name, uid: Number(uid), gid: Number(gid), comment, home, shell };
  });
}

function parseClock(text: string): ServerClock {
  const [now, uptime, ticks, order] = text.split('\n');
  return { now: Number(now), uptime: Number(uptime), ticks: Number(ticks) || 100, order: order?.trim() === '256' ? 'big' : 'little' };
}

function serviceIn([ssh, sshd, sshSocket, sshdSocket]: readonly string[]): SshdService {
  if (ssh === 'active') return 'ssh.service';
  if (sshd === 'active') return 'sshd.service';
  return sshSocket === 'active' || sshdSocket === 'active' ? 'per-connection' : 'by-signal';
}
