import { requireManager, requireSsh, requireSystemd } from '../checks/preflight.ts';
import { type Identity, type Machine, runtimeDirectory } from '../machine/machine.ts';
import { systemctl } from '../unit/systemctl.ts';
import { hurried } from './inTime.ts';
import { fault, sound, unsure } from './observation.ts';
import type { Host, Part } from './patient.ts';

export const sshPart: Part<Host> = async function* ({ facts }) {
  requireSsh(facts);
  yield sound('ssh', facts.ssh!.text);
  return true;
};

/** Milliseconds, many times what a busy machine takes; systemctl itself would wait for half a minute. */
export const SYSTEMD_LIMIT = 8000;

export const systemdPart: Part<Host> = async function* ({ machine, who, facts }) {
  requireSystemd(facts);
  // An ordinary user's own manager may run where the system's does not.
  if (!facts.managers.user || who.uid === 0) requireManager(facts, 'system');
  for (const scope of who.uid === 0 ? (['system'] as const) : (['system', 'user'] as const)) {
    if (!facts.managers[scope]) continue;
    const { code, stderr, timedOut } = await systemctl(hurried(machine, SYSTEMD_LIMIT), scope, who).run('show', '-p', 'Version');
    if (code === 0) continue;
    const words = timedOut ? `no word after ${SYSTEMD_LIMIT / 1000} s` : stderr.trim();
    const whose = scope === 'system' ? 'systemd does not answer' : `The user manager of ${who.userName} does not answer`;
    // Without a D-Bus daemon, systemd speaks to root alone.
    if (scope === 'system' && who.uid !== 0) yield unsure('systemd', `${whose} you: ${words}. Try with sudo`);
    else return yield* silent(`${whose}: ${words}`, scope === 'user' ? `systemctl restart user@${who.uid}.service` : 'systemctl daemon-reexec');
  }
  const runs = facts.managers.system ? 'it runs this machine' : `it runs the services of ${who.userName} alone`;
  yield sound('systemd', `systemd ${facts.systemd}, and ${runs}`);
  return true;
};

async function* silent(says: string, cure: string) {
  yield fault('systemd', 'systemd-silent', says, `As root:\n  ${cure}\nIf that does not answer either:\n  systemctl reboot --force`);
  return false;
}

/** Bytes; what an installation writes and a service leaves in /run are a few thousand. */
const LEAST_ROOM = 16_384;

export const diskPart: Part<Host> = async function* ({ machine, who }) {
  const full = (await fileSystems(machine, who)).filter(({ free, inodesLeft, readOnly }) => !readOnly && (free < LEAST_ROOM || !inodesLeft));
  for (const { mount, free, paths } of full) {
    const lacks = free < LEAST_ROOM ? 'is no room' : 'are no inodes (room for more files)';
    const others = paths.filter((path) => path !== mount);
    const holds = others.length > 0 ? `, which holds ${others.join(' and ')}` : '';
    yield fault('disk', 'disk-full', `There ${lacks} left on ${mount}${holds}: nothing can be written there.`, freeRoom(mount));
  }
  if (full.length === 0) yield sound('disk', 'there is room for files, the journal and /run');
  return full.length === 0;
};

const freeRoom = (mount: string) =>
  `See what takes it, and remove some of it:\n  du -xh --max-depth=2 ${mount} | sort -h | tail\n  df -i ${mount}\nOld journals go with:\n  journalctl --vacuum-size=50M`;

/** Where root's services need room. */
const SHARED = ['/etc/systemd/system', '/etc/revtun', '/run', '/var/log', '/var/log/journal'];

interface FileSystem {
  readonly mount: string;
  /** Bytes that this user may still write. */
  readonly free: number;
  readonly inodesLeft: boolean;
  readonly readOnly: boolean;
  /** What of ours lies there. */
  readonly paths: readonly string[];
}

/** Those on which something of a tunnel lies, or has to be written to keep one. */
async function fileSystems(machine: Machine, who: Identity): Promise<FileSystem[]> {
  const own = who.uid === 0 ? [] : [who.home, runtimeDirectory(who)];
  const mounts = ((await machine.read('/proc/self/mounts'))?.toString() ?? '').split('\n').map((line) => line.split(' '));
  const found = new Map<string, FileSystem>();
  for (const path of [...SHARED, ...own]) {
    const { stdout } = await machine.run(['df', '-B1', '--output=size,used,avail,itotal,iavail,target', '--', path], { timeoutMs: 3000 });
    const [, size, used, available, inodes, freeInodes, mount] = /^ *(\d+) +(\d+) +(-?\d+) +(\S+) +(\S+) +(.+)$/.exec(stdout.trim().split('\n').at(-1) ?? '') ?? [];
    if (mount === undefined) continue;
    // What a file system keeps back is kept for root.
    const free = own.includes(path) ? Number(available) : Number(size) - Number(used);
    found.set(mount, {
      mount,
      free: Math.min(free, found.get(mount)?.free ?? free),
      inodesLeft: !(Number(inodes) > 0) || Number(freeInodes) > 0,
      readOnly: mounts.some(([, where, , options]) => where === mount && /^ro(,|$)/.test(options ?? '')),
      paths: [...(found.get(mount)?.paths ?? []), path],
    });
  }
  return [...found.values()];
}
