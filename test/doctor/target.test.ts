import { describe, expect, test } from '@jest/globals';
import { targetPart } from '../../src/doctor/targetPart.ts';
import type { DialResult } from '../../src/machine/machine.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { patientOf, seen } from './patients.ts';

const answers = (banner = ''): DialResult => ({ outcome: 'connected', banner });
const [LOST, REFUSED]: DialResult[] = [{ outcome: 'timeout', reason: 'no answer' }, { outcome: 'refused', reason: 'connect ECONNREFUSED' }];

/** What is said of `-R 8080:TARGET` where each attempt ends like this, and how long each of them was given. */
async function look(target: string, dialled: readonly (DialResult | undefined)[], says: Readonly<Record<string, string>> = {}) {
  const limits: number[] = [];
  const patient = patientOf({ says }, { tunnel: exampleTunnel({ forwards: forwards(`-R 8080:${target}`) }) });
  const machine = { ...patient.machine, dial: async (_: unknown, limit: number, forWords = limit) => dialled[limits.push(limit, forWords) / 2 - 1]! };
  const { observations } = await seen(targetPart, { ...patient, machine });
  return { ...observations[0]!, limits };
}

test.each([LOST!, REFUSED!])('one attempt that fails is no fault: %j', async (first) => {
  for (const target of ['printer.lan:80', 'localhost:80']) expect(await look(target, [first, answers()])).toMatchObject({ level: 'ok' });
});

test('another machine has time to be reached, and not to say something; all of it stays short', async () => {
  const { limits } = await look('printer.lan:80', [LOST, LOST]);
  expect(limits.slice(0, 2)).toEqual([5000, 1500]);
  expect(limits[0]! + limits[2]!).toBeLessThan(9000);
  expect((await look('localhost:80', [answers()])).limits).toEqual([1500, 1500]);
});

describe('a fault names what is wrong, and where', () => {
  test.each<[string, string, string, string]>([
    ['localhost:80', 'nothing-here', 'Nothing listens at localhost:80 on this machine', 'ss -ltnp'],
    ['/run/app.sock', 'nothing-here', 'Nothing listens at /run/app.sock on this machine', 'ss -lxp'],
    ['localhost:22', 'nothing-here', 'Nothing listens at localhost:22 on this machine', 'systemctl enable --now ssh'],
    ['printer.lan:80', 'nothing-here', 'printer.lan:80, where the tunnel leads, cannot be reached from this machine', 'getent ahosts -- printer.lan'],
    ['printer.lan:22', 'nothing-here', 'printer.lan:22, where the tunnel leads, cannot be reached from this machine', 'ping -c 3 -- printer.lan'],
  ])('%s', async (target, finding, says, cure) => {
    const seenThere = await look(target, [REFUSED, REFUSED]);
    expect(seenThere).toMatchObject({ level: 'fault', finding, says: expect.stringContaining(says), cure: expect.stringContaining(cure) });
    if (target.startsWith('printer')) expect(seenThere.cure).not.toMatch(/ss -ltnp|systemctl/);
  });

  test.each([['loaded\n\nnot-found\n', 'ssh'], ['not-found\n\nloaded\n', 'sshd'], ['loaded\n\nloaded\n', 'ssh'], ['not-found\n\nnot-found\n', 'ssh']])('sshd is called as systemd calls it: %j', async (states, unit) => {
    const says = { 'systemctl show -p LoadState': states };
    expect((await look('localhost:22', [REFUSED, REFUSED], says)).cure).toMatch(new RegExp(`enable --now ${unit}$`));
    expect((await look('localhost:22', [answers()], says)).cure).toMatch(new RegExp(`restart ${unit}$`));
  });
});
