import { addressOf, type ByteOrder, LISTENS } from '../machine/procNet.ts';

/** The server's own time, by which its tables have to be read. */
export interface ServerClock {
  /** Seconds since 1970. */
  readonly now: number;
  /** Seconds since it booted. */
  readonly uptime: number;
  /** Clock ticks a second (sysconf(3)). */
  readonly ticks: number;
  /** How its processor stores numbers. */
  readonly order: ByteOrder;
}

/** A TCP socket that listens on the server. */
export interface Listener {
  readonly address: string;
  readonly port: number;
  /** Whose program made it. */
  readonly uid: number;
}

/** The session of a device that holds its port open. */
export interface Connection {
  readonly uid: number;
  /** The port that it holds. */
  readonly port: number;
  readonly since: Date;
  /** The address that it logged in from; undefined where that cannot be told. */
  readonly from: string | undefined;
}

/** Texts that the server gave: see templates/server-state.sh. */
export interface SocketTables {
  /** `LOCAL REMOTE STATE UID INODE`, of /proc/net/tcp and tcp6 (proc(5)). */
  readonly sockets: string;
  /** `PID UID` of processes in our range of accounts. */
  readonly processes: string;
  /** /proc/PID/stat of each. */
  readonly started: string;
  /** `/proc/PID/fd socket:[INODE]`. */
  readonly opened: string;
}

interface Socket {
  readonly local: { readonly address: string; readonly port: number };
  readonly remote: { readonly address: string; readonly port: number };
  readonly listens: boolean;
  readonly uid: number;
  readonly inode: string;
}

/** What listens, and which sessions of devices hold a listener: the kernel says whose a socket is, so nothing is guessed. */
export function readSockets(tables: SocketTables, clock: ServerClock): { listeners: Listener[]; connections: Connection[] } {
  const sockets = rows(tables.sockets).flatMap(([local, remote, state, uid, inode = '']): Socket[] => {
    const [here, there] = [endpoint(local, clock.order), endpoint(remote, clock.order)];
    return here && there ? [{ local: here, remote: there, listens: state === LISTENS, uid: Number(uid), inode }] : [];
  });
  const byInode = new Map(sockets.map((socket) => [socket.inode, socket]));
  const uidOf = new Map(rows(tables.processes).map(([pid = '', uid]) => [pid, Number(uid)]));
  const startOf = startTimes(tables.started, clock);
  const held = new Map<string, Socket[]>();
  for (const [path = '', link = ''] of rows(tables.opened)) {
    const pid = path.split('/')[2]!;
    const socket = byInode.get(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? '');
    if (socket) held.set(pid, [...(held.get(pid) ?? []), socket]);
  }
  const connections = [...held].flatMap(([pid, own]): Connection[] => {
    const [uid, since] = [uidOf.get(pid), startOf.get(pid)];
    const listener = own.find((socket) => socket.listens && socket.uid === uid);
    if (uid === undefined || !since || !listener) return [];
    // Root's sshd accepted what it came by; what it forwards is made by the account.
    const login = own.find((socket) => !socket.listens && socket.uid !== uid);
    return [{ uid, port: listener.local.port, since, from: login?.remote.address }];
  });
  return { listeners: sockets.filter(({ listens }) => listens).map(({ local, uid }) => ({ ...local, uid })), connections };
}

/** The 22nd field of proc_pid_stat(5), in clock ticks after boot; the second may hold blanks, and ends in the last bracket. */
function startTimes(stats: string, { now, uptime, ticks }: ServerClock): ReadonlyMap<string, Date> {
  return new Map(stats.split('\n').flatMap((line): [string, Date][] => {
    const [pid] = line.split(' ', 1);
    const ticksAfterBoot = Number(line.slice(line.lastIndexOf(')') + 2).split(' ')[19]);
    return pid === undefined || pid === '' || Number.isNaN(ticksAfterBoot) ? [] : [[pid, new Date(1000 * (now - uptime + ticksAfterBoot / ticks))]];
  }));
}

function endpoint(text = '', order: ByteOrder): Socket['local'] | undefined {
  const [, address, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(text) ?? [];
  return address === undefined || port === undefined ? undefined : { address: addressOf(address, order), port: Number.parseInt(port, 16) };
}

const rows = (text: string) => text.split('\n').filter((line) => line !== '').map((line) => line.split(' '));
