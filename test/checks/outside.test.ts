import { describe, expect, test } from '@jest/globals';
import { reachableFromOutside, whyRefused } from '../../src/checks/outside.ts';
import type { Probe } from '../../src/checks/throughTunnel.ts';
import type { Workbench } from '../../src/checks/workbench.ts';
import { local } from '../../src/machine/local.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';

const KEY = { type: 'ssh-ed25519', blob: 'AAAA' };
const HERE = { outcome: 'connected', banner: 'SSH-2.0-here' } as const;
const PUBLIC = forwards('-R *:8022:localhost:22')[0]!;

/** What an ssh says that gets through all logins to the far end, and there meets this. */
const MEETS = {
  ourKey: (name: string) => `debug1: Host '[${name}]:8022' is known and matches the ED25519 host key.\n`,
  nobody: () => 'channel 0: open failed: connect failed: Connection refused\n',
  prohibition: () => 'channel 0: open failed: administratively prohibited: open failed\n',
  anotherKey: () => 'Host key verification failed.\n',
} as const;

/** A tunnel whose server, when it dials an address, meets that; from here all are refused. */
function probeOf(changes: Partial<Tunnel>, meets: keyof typeof MEETS, atItsName = meets): { probe: Probe; dialled: string[] } {
  const dialled: string[] = [];
  const tunnel = exampleTunnel({ forwards: [PUBLIC], ...changes });
  const bench = {
    limit: 1000,
    pin: () => Promise.resolve(),
    ssh: async (to: Tunnel) => {
      dialled.push(to.host);
      const met = MEETS[to.host === 'tunl.example.com' ? atItsName : meets];
      return { code: 255, stdout: '', stderr: 'Authenticated to h\n'.repeat(to.jump.length) + met(to.host), timedOut: false, stopped: false };
    },
  } as unknown as Workbench;
  const machine = {
    ...local,
    dial: async () => ({ outcome: 'refused', reason: 'connect ECONNREFUSED' }) as const,
    run: async () => ({ code: 0, stdout: '198.51.100.7    STREAM tunl.example.com\n', stderr: '', timedOut: false, stopped: false }),
  };
  return { probe: { machine, who: { uid: 0, userName: 'root', home: '/root', env: {} }, tunnel, bench, pinned: [] }, dialled };
}

describe('a public port that is refused here', () => {
  test.each<[Awaited<ReturnType<typeof whyRefused>>, keyof typeof MEETS]>([
    ['firewall', 'ourKey'],
    ['listener', 'nobody'],
    ['unknown', 'prohibition'],
    ['unknown', 'anotherKey'],
  ])('is so because of the %s where the server itself, at its public address, meets: %s', async (why, meets) => {
    const { probe, dialled } = probeOf({}, meets);
    expect(await reachableFromOutside(probe, PUBLIC, KEY, HERE)).toBe('refused');
    expect([await whyRefused(probe, PUBLIC, KEY, HERE), dialled]).toEqual([why, ['198.51.100.7']]);
  });

  test("is no matter of GatewayPorts where the account is a device's", async () => {
    const { probe, dialled } = probeOf({ user: 'revtun-kiosk' }, 'nobody');
    expect([await whyRefused(probe, PUBLIC, KEY, HERE), dialled]).toEqual(['firewall', []]);
  });
});

describe('through a jump host', () => {
  const jump = [{ host: 'gate.example.com' }];

  test.each<[string, Awaited<ReturnType<typeof reachableFromOutside>>, keyof typeof MEETS, keyof typeof MEETS]>([
    ['198.51.100.7', 'self', 'ourKey', 'ourKey'],
    ['198.51.100.7', 'refused', 'nobody', 'nobody'],
    ['198.51.100.7', 'unknown', 'prohibition', 'prohibition'],
    ['tunl.example.com', 'self', 'ourKey', 'ourKey'],
    // Its own name leads to its loopback, where the listener is meant to be.
    ['tunl.example.com', 'unknown', 'nobody', 'ourKey'],
    ['tunl.example.com', 'refused', 'nobody', 'nobody'],
  ])('what the server meets at %s tells of others: %s (%s, %s at its name)', async (host, outside, meets, atItsName) => {
    const { probe } = probeOf({ host, jump }, meets, atItsName);
    expect(await reachableFromOutside(probe, forwards('-R 127.0.0.1:8022:localhost:22')[0]!, KEY, HERE)).toBe(outside);
  });
});
