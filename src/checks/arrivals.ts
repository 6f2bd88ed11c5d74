import type { DialResult, Machine } from '../machine/machine.ts';
import { type Forward, isLoopback } from '../tunnel/forward.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { type Connection, connectionsHere, type End, holdersOf, socketAt } from './connectionsHere.ts';
import { hopsOf } from './journey.ts';

/** Watches connections come to a local target. */
export interface Arrivals {
  /** Whether one that came through the tunnel could not be missed. */
  readonly visible: boolean;
  /**
   * - `ssh`: an ssh of this machine has connected to the target since the watch began
   * - `somebody`: somebody has, and who it was is not for this user to see
   * - `ended`: a connection has been there and is over, which nobody holds any more
   * - `nobody`: nobody else than other programs
   */
  seen(): Promise<Arrival>;
}

export type Arrival = 'ssh' | 'somebody' | 'ended' | 'nobody';

/** @param here what the target said when it was dialled: where nothing answers, nothing can arrive */
export async function watchArrivals(machine: Machine, tunnel: Tunnel, target: Forward['target'], here: DialResult): Promise<Arrivals> {
  if (target === 'socks') return UNSEEN;
  if ('path' in target) return watchSocket(machine, target.path);
  const address = here.outcome === 'connected' ? here.address : undefined;
  return address ? watchAddress(machine, tunnel, address) : UNSEEN;
}

const UNSEEN: Arrivals = { visible: false, seen: () => Promise.resolve('nobody') };

/** Programs that carry a connection from a server to a target. */
const SSH_CLIENT = /^(ssh|dbclient)$/;

/**
 * The tunnel's ssh may have taken another address of the target's name than we did, so the port counts. Only where that is the
 * port of an sshd on the way as well, a connection to it may be any ssh's.
 */
async function watchAddress(machine: Machine, tunnel: Tunnel, address: { readonly host: string; readonly port: number }): Promise<Arrivals> {
  const hops = hopsOf(tunnel).map(({ port }) => port ?? 22);
  const isAmbiguous = hops.includes(address.port);
  const nameOf = ({ local, remote }: Connection) => `${local.address} ${local.port} ${remote.address} ${remote.port}`;
  const all = await connectionsHere(machine);
  const old = new Set(all.map(nameOf));
  const isTarget = ({ address: at, port }: End) => port === address.port && (!isAmbiguous || at === address.host || (isLoopback(at) && isLoopback(address.host)));
  return {
    // The table that has the tunnel's own connection has all that it makes.
    visible: !isAmbiguous && all.some(({ remote }) => remote.port === hops[0]),
    seen: async () => {
      const fresh = (await connectionsHere(machine)).filter((one) => (isTarget(one.remote) || isTarget(one.local)) && !old.has(nameOf(one)));
      const held = fresh.filter(({ remote, inode }) => isTarget(remote) && inode !== '0');
      const holders = await holdersOf(machine, held.map(({ inode }) => inode));
      const names = await Promise.all(held.map(async ({ inode }) => {
        const pid = holders.get(inode);
        return pid === undefined ? undefined : (await machine.read(`/proc/${pid}/comm`).catch(() => undefined))?.toString().trim();
      }));
      if (names.some((name) => name !== undefined && SSH_CLIENT.test(name))) return 'ssh';
      // What has ended while it was looked for is held by nobody, and no secret.
      const still = new Set((await connectionsHere(machine)).filter(({ inode }) => inode !== '0').map(nameOf));
      if (held.some((one, index) => names[index] === undefined && still.has(nameOf(one)))) return 'somebody';
      return fresh.some(({ inode }) => inode === '0') ? 'ended' : 'nobody';
    },
  };
}

/** Who is connected to a Unix socket does not show: only that there is one more. */
async function watchSocket(machine: Machine, path: string): Promise<Arrivals> {
  const before = await socketAt(machine, path);
  const waiting = (inodes: readonly string[]) => inodes.filter((inode) => inode === '0').length;
  return {
    visible: before.listens,
    seen: async () => {
      const { connected } = await socketAt(machine, path);
      const isNew = connected.some((inode) => inode !== '0' && !before.connected.includes(inode)) || waiting(connected) > waiting(before.connected);
      return isNew ? 'somebody' : 'nobody';
    },
  };
}
