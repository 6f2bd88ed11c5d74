import type { Identity, Machine } from '../machine/machine.ts';
import { connectionsHere, type Connection, fromTheOtherEnd, holdersOf, parseEnd } from './connectionsHere.ts';

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
 */
export async function sessionWay(machine: Machine, who: Identity): Promise<SessionWay> {
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
    const far = fromTheOtherEnd(all, { local: parseEnd(ownAddress, ownPort), remote: parseEnd(address, port) });
    if (!far) return { through, known: true };
    const holder = (await holdersOf(machine, [far.inode])).get(far.inode);
    const group = holder === undefined ? undefined : await controlGroupOf(machine, holder);
    if (holder === undefined || group === undefined) return { through, known: false };
    through.push(group);
    if (/\/revtun-[^/]+\.service$/.test(group)) return { through, known: true };
    from = holder;
  }
  return { through, known: false };
}

/** Whether a service carries a session: `perhaps` where that cannot be told, and somebody is logged in through it. */
export async function carries(machine: Machine, { through, known }: SessionWay, controlGroup: string): Promise<'yes' | 'perhaps' | 'no'> {
  if (controlGroup === '') return 'no';
  if (through.includes(controlGroup)) return 'yes';
  return !known && (await isLoggedInThrough(machine, controlGroup)) ? 'perhaps' : 'no';
}

/** Whether somebody is connected through a service to an sshd of this machine. */
export async function isLoggedInThrough(machine: Machine, controlGroup: string): Promise<boolean> {
  const all = await connectionsHere(machine);
  const pairs = all.flatMap((near): [Connection, Connection][] => {
    const far = fromTheOtherEnd(all, near);
    return far ? [[near, far]] : [];
  });
  const holders = await holdersOf(machine, pairs.map(([{ inode }]) => inode));
  for (const [near, far] of pairs) {
    const [dialler, listener] = [near, far].map(({ inode }) => holders.get(inode));
    if (dialler === undefined || (await controlGroupOf(machine, dialler)) !== controlGroup) continue;
    // Whose sshd is root's, a user cannot see.
    if (near.remote.port === 22 || (listener !== undefined && SSHD.test((await processOf(machine, listener))?.name ?? ''))) return true;
  }
  return false;
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
