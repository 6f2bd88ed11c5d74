import { isIP } from 'node:net';
import type { Identity, Machine } from '../machine/machine.ts';
import { type Forward, isLoopback } from '../tunnel/forward.ts';
import { type Connection, connectionsHere, type End, fromTheOtherEnd, holdersOf, parseEnd, socketsInUse } from './connectionsHere.ts';

/** What a tunnel forwards; undefined where its record cannot be read, and it may be anything. */
type Forwards = readonly Forward[] | undefined;

/** How the session that this program runs in came here. */
export interface SessionWay {
  /** Control groups of the processes on this machine that its connection passed through, the last one first. */
  readonly through: readonly string[];
  /** Whether there is nothing more to it: what is not in `through` has no part in it. */
  readonly known: boolean;
}

/**
 * Follows the session back to where it came from: from this process to the sshd above it, from there to whoever holds
 * the other end of its connection, and so on, as `ssh localhost` is a way in as well. A session in tmux or screen, or
 * one that systemd made (run0, machinectl shell), has no sshd above it: what its terminal is attached to cannot be told.
 * @param forwards of the tunnel that may have carried it: where they lead to another machine, what comes from another one
 *   may have come through them
 */
export async function sessionWay(machine: Machine, who: Identity, forwards: Forwards): Promise<SessionWay> {
  const all = await connectionsHere(machine);
  const through: string[] = [];
  let from = 'self';
  // Nobody logs in to the same machine more often than that.
  while (through.length < 8) {
    const line = await lineage(machine, from);
    const sshd = line.findIndex(({ name }) => SSHD.test(name));
    // What passes a connection on may have got it from anywhere.
    if (sshd < 1) return { through, known: from === 'self' && (await neverCameBySsh(machine, line)) };
    const told = (await sshConnection(machine, line[sshd - 1]!)) ?? (from === 'self' ? who.env['SSH_CONNECTION'] : undefined);
    const [address, port, ownAddress, ownPort] = told?.split(' ') ?? [];
    if (address === undefined || port === undefined || ownAddress === undefined || ownPort === undefined) return { through, known: false };
    // To an sshd behind a Unix socket or a pipe its peer is UNKNOWN.
    if (isIP(address) === 0) return { through, known: false };
    const far = fromTheOtherEnd(all, { local: parseEnd(ownAddress, ownPort), remote: parseEnd(address, port) });
    // Who can be reached from here may have been reached through here, and may have come back.
    if (!far) return { through, known: !reachesOthers(forwards) && !dials(all, parseEnd(address, port), parseEnd(ownAddress, ownPort)) };
    const holder = (await holdersOf(machine, [far.inode])).get(far.inode);
    const group = holder === undefined ? undefined : await controlGroupOf(machine, holder);
    if (holder === undefined || group === undefined) return { through, known: false };
    through.push(group);
    if (/\/revtun-[^/]+\.service$/.test(group)) return { through, known: true };
    from = holder;
  }
  return { through, known: false };
}

const reachesOthers = (forwards: Forwards) => forwards?.some(({ kind, target }) =>
  kind === 'remote' && (target === 'socks' || ('port' in target && !isLoopback(target.host ?? 'localhost')))) ?? true;

/** Whether anything but the port that somebody came to is connected with where they came from. */
const dials = (all: readonly Connection[], peer: End, own: End) =>
  all.some(({ local, remote, inode }) => inode !== '0' && remote.address === peer.address && local.port !== own.port);

/** Whether a service carries a session: `perhaps` where that cannot be told, and somebody is connected through it. */
export async function carries(machine: Machine, { through, known }: SessionWay, controlGroup: string, forwards: Forwards): Promise<'yes' | 'perhaps' | 'no'> {
  if (controlGroup === '') return 'no';
  if (through.includes(controlGroup)) return 'yes';
  return !known && (await isConnectedThrough(machine, controlGroup, forwards)) ? 'perhaps' : 'no';
}

/** Whether somebody is connected through a service to anything: a web terminal, a desktop, another machine lead on, too. */
export async function isConnectedThrough(machine: Machine, controlGroup: string, forwards: Forwards): Promise<boolean> {
  // What was accepted by -L and -D leads away from here.
  const accepting = new Set(forwards?.flatMap(({ kind, listen }) => (kind !== 'remote' && 'port' in listen ? [listen.port] : [])));
  const all = (await connectionsHere(machine)).filter(({ local, inode }) => inode !== '0' && !accepting.has(local.port));
  const groups = new Map<string, string | undefined>();
  let dialled = 0;
  for (const holder of (await holdersOf(machine, all.map(({ inode }) => inode))).values()) {
    if (!groups.has(holder)) groups.set(holder, await controlGroupOf(machine, holder));
    if (groups.get(holder) === controlGroup) dialled += 1;
  }
  // One is its own, to its server or the first jump host.
  if (dialled > 1) return true;
  const paths = new Set(forwards?.flatMap(({ kind, target }) => (kind === 'remote' && target !== 'socks' && 'path' in target ? [target.path] : [])));
  return paths.size > 0 && (await socketsInUse(machine)).some((path) => paths.has(path));
}

/** Since OpenSSH 9.8 a session is not sshd's own any more. */
const SSHD = /^sshd(-session)?$/;

interface Process {
  readonly pid: string;
  readonly name: string;
  readonly parent: string;
  readonly pseudoTerminal: boolean;
}

/** A process and its ancestors, as far as they can be seen. */
async function lineage(machine: Machine, pid: string): Promise<Process[]> {
  const found: Process[] = [];
  for (let next = await processOf(machine, pid); next && found.length < 100; next = await processOf(machine, next.parent)) found.push(next);
  return found;
}

/** Of /proc/PID/stat (proc_pid_stat(5)): the second field may hold blanks, and ends in the last bracket. */
async function processOf(machine: Machine, pid: string): Promise<Process | undefined> {
  const text = (await readIfThere(machine, `/proc/${pid}/stat`)) ?? '';
  const [, id, name] = /^(\d+) \((.*)\) /s.exec(text) ?? [];
  if (id === undefined || name === undefined) return undefined;
  const [, parent = '0', , , terminal] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const major = (Number(terminal) >> 8) & 0xfff;
  return { pid: id, name, parent, pseudoTerminal: major >= PSEUDO.first && major <= PSEUDO.last };
}

/** Major numbers of Unix98 pseudo-terminals (the kernel's devices.txt). */
const PSEUDO = { first: 136, last: 143 } as const;

/** A service, or somebody at the console, has no pseudo-terminal; what has outlived its login still has the environment of it. */
async function neverCameBySsh(machine: Machine, line: readonly Process[]): Promise<boolean> {
  if (line[0]?.pseudoTerminal !== false) return false;
  return (await Promise.all(line.map((one) => sshConnection(machine, one)))).every((told) => told === undefined);
}

/** What sshd told the process about its login (ssh(1), ENVIRONMENT); sudo hides it from what it runs, but not from us. */
async function sshConnection(machine: Machine, { pid }: Process): Promise<string | undefined> {
  const environment = (await readIfThere(machine, `/proc/${pid}/environ`)) ?? '';
  return /(?:^|\0)SSH_CONNECTION=([^\0]*)/.exec(environment)?.[1];
}

/** As systemd names it in ControlGroup=. Of the unified hierarchy and the former one, only that which systemd uses leads anywhere (cgroups(7)). */
async function controlGroupOf(machine: Machine, pid: string): Promise<string | undefined> {
  const groups = [...((await readIfThere(machine, `/proc/${pid}/cgroup`)) ?? '').matchAll(/^(?:0:|\d+:name=systemd):(\/.*)$/gm)].map(([, group = '']) => group);
  return groups.toSorted((a, b) => b.length - a.length)[0];
}

/** What belongs to others may not be read, and processes end at any moment. */
const readIfThere = async (machine: Machine, path: string) => (await machine.read(path).catch(() => undefined))?.toString();
