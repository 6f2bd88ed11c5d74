import { sleep } from '../lab/waitFor.ts';
import type { Moment } from './agent.ts';
import { activeSince, type BenchTunnel, endSessions, now, type Pair, sshOf, uidOf } from './recoveryPair.ts';

/** Something that goes wrong, and when it is over. */
export interface Fault {
  readonly what: string;
  /** What the clock starts at. */
  readonly from: string;
  /** Milliseconds from the beginning to the end, as far as it is ours to say. */
  readonly lastsMs: number;
  /** Milliseconds that the end and a good recovery take. */
  readonly endsWithinMs: number;
  /** Whether a session may outlive it. */
  readonly survivable: boolean;
  /** How often it is tried: what is over quickly is tried more often. */
  readonly rounds: number;
  begin(pair: Pair): Promise<void>;
  /** Ends it; resolves to the moment from which the tunnel could work again. */
  end(pair: Pair, tunnels: readonly BenchTunnel[]): Promise<Moment>;
}

const nothing = () => Promise.resolve();
const atOnce = { lastsMs: 0, endsWithinMs: 5000, survivable: false, rounds: 5, begin: nothing } as const;

/** Names in the order of the report. */
export const FAULTS = {
  sshKilled: {
    ...atOnce,
    what: 'ssh killed on the device',
    from: 'the kill',
    end: async (pair, tunnels) => {
      const pids = tunnels.flatMap((tunnel) => sshOf(pair, tunnel));
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      return Promise.resolve(now());
    },
  },
  sessionKilled: {
    ...atOnce,
    what: 'session killed on the server',
    from: 'the kill',
    end: async (pair, tunnels) => {
      const uids = await Promise.all(tunnels.map(({ account }) => uidOf(pair.server, account)));
      for (const uid of uids) endSessions(pair, uid);
      return now();
    },
  },
  sshdRestarted: {
    ...atOnce,
    what: 'sshd restarted, sessions ended',
    from: 'the new sshd listens',
    lastsMs: 1500,
    // systemctl restart alone leaves Debian's sessions alone (KillMode=process).
    begin: async ({ server }) => {
      await server.succeed(['systemctl', 'reset-failed', 'ssh.service']);
      await server.succeed(['systemctl', 'stop', 'ssh.service']);
    },
    end: async (pair, tunnels) => {
      for (const { account } of tunnels) endSessions(pair, await uidOf(pair.server, account));
      await sleep(1000);
      await pair.server.succeed(['systemctl', 'start', 'ssh.service']);
      return activeSince(pair.server, 'ssh.service');
    },
  },
  serverRebooted: {
    ...atOnce,
    what: 'server rebooted',
    from: 'its sshd listens',
    endsWithinMs: 8000,
    end: async ({ server }) => {
      await server.reboot();
      return activeSince(server, 'ssh.service');
    },
  },
  powerCut: {
    ...atOnce,
    what: 'power cut of the device',
    from: "the device's own sshd listens",
    lastsMs: 2000,
    endsWithinMs: 7000,
    begin: ({ device }) => device.powerCut(),
    end: async ({ device }) => {
      await device.powerOn();
      return activeSince(device, 'ssh.service');
    },
  },
  addressChanged: {
    ...atOnce,
    what: 'new address behind NAT',
    from: 'the change',
    // It depends on how long ago the last keepalive was.
    rounds: 8,
    endsWithinMs: 8000,
    end: async ({ device }) => {
      const changed = now();
      await device.renat();
      return changed;
    },
  },
  shortHole: blackHole(30, 3),
  longHole: blackHole(120, 2),
} as const satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;

function blackHole(seconds: number, rounds: number): Fault {
  return {
    what: `black hole of ${seconds} s`,
    from: 'its end',
    lastsMs: seconds * 1000,
    endsWithinMs: 6000,
    survivable: true,
    rounds,
    begin: ({ device }) => device.blackhole(),
    end: async ({ device }) => {
      await device.heal();
      return now();
    },
  };
}
