import { isIPv6 } from 'node:net';
import type { Machine } from '../machine/machine.ts';
import { addressOf, LISTENS } from '../machine/procNet.ts';

/** One end of a TCP connection, its address as Node's net spells it. */
export interface End {
  readonly address: string;
  readonly port: number;
}

/** A TCP connection that one of its ends has on this machine; one inside this machine is there twice, once from each end. */
export interface Connection {
  readonly local: End;
  readonly remote: End;
  readonly inode: string;
}

/** The TCP connections of this machine; from /proc/net/tcp and tcp6 (proc(5)). */
export async function connectionsHere(machine: Machine): Promise<Connection[]> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => machine.read(path)));
  const rows = tables.flatMap((table) => (table?.toString() ?? '').split('\n')).map((line) => line.trim().split(/\s+/));
  return rows.flatMap(([, local, remote, state, , , , , , inode]) => {
    const [here, there] = [endOf(local), endOf(remote)];
    return here && there && state !== LISTENS && inode !== undefined ? [{ local: here, remote: there, inode }] : [];
  });
}

function endOf(text = ''): End | undefined {
  const [, address, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(text) ?? [];
  return address === undefined || port === undefined ? undefined : { address: addressOf(address), port: Number.parseInt(port, 16) };
}

/** Paths of Unix stream sockets that somebody is connected to; from /proc/net/unix, where 03 is SS_CONNECTED, and only what was accepted has the path. */
export async function socketsInUse(machine: Machine): Promise<string[]> {
  const table = (await machine.read('/proc/net/unix'))?.toString() ?? '';
  return [...table.matchAll(/^\S+: (?:\S+ ){3}0001 03 +\d+ (\/.*)$/gm)].map(([, path = '']) => path);
}

/** Whether somebody listens at a Unix stream socket by just this path, and the inodes of what has connected to it; 0 until it is accepted (02, SS_CONNECTING). */
export async function socketAt(machine: Machine, path: string): Promise<{ readonly listens: boolean; readonly connected: readonly string[] }> {
  const table = (await machine.read('/proc/net/unix'))?.toString() ?? '';
  const rows = [...table.matchAll(/^\S+: (?:\S+ ){2}(\S+) 0001 (\S+) +(\d+) (\/.*)$/gm)].filter(([, , , , at]) => at === path);
  return {
    listens: rows.some(([, flags]) => flags === ACCEPTS),
    connected: rows.flatMap(([, , state, inode = '']) => (state === '02' || state === '03' ? [inode] : [])),
  };
}

/** The flag of a socket that listens in /proc/net/unix (__SO_ACCEPTCON). */
const ACCEPTS = '00010000';

/** The end that a program names by its address and port, such as sshd in SSH_CONNECTION. */
export function parseEnd(address: string, port: string): End {
  const bare = address.replace(/%.*/, '');
  return { address: isIPv6(bare) ? new URL(`http://[${bare}]`).hostname.slice(1, -1) : bare, port: Number(port) };
}

/** The same connection as its other end on this machine has it; undefined where that end is on another machine. */
export const fromTheOtherEnd = (all: readonly Connection[], { local, remote }: Pick<Connection, 'local' | 'remote'>): Connection | undefined =>
  all.find((other) => isSame(other.local, remote) && isSame(other.remote, local));

const isSame = (a: End, b: End) => a.port === b.port && a.address === b.address;

/** Which processes hold these sockets, as far as this user may see it: process ids by inode. */
export async function holdersOf(machine: Machine, inodes: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (inodes.length === 0) return new Map();
  const wanted = inodes.flatMap((inode) => ['-o', '-lname', `socket:\\[${inode}\\]`]).slice(1);
  // Only /proc/PID/fd is looked into. What belongs to others, or has just ended, is passed over.
  const { stdout } = await machine.run([
    'find', '/proc', '-maxdepth', '3', '(', '-path', '/proc/[!0-9]*', '-o', '-path', '/proc/*/*', '!', '-path', '/proc/*/fd', '!', '-path', '/proc/*/fd/*', ')', '-prune',
    '-o', '(', ...wanted, ')', '-printf', '%p %l\n',
  ], { timeoutMs: 10_000 });
  return new Map([...stdout.matchAll(/^\/proc\/(\d+)\/fd\/\d+ socket:\[(\d+)\]$/gm)].map(([, pid = '', inode = '']) => [inode, pid]));
}
