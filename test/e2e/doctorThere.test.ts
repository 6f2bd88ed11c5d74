import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { FAULTS_OF_THE_WAY } from './doctorFaultsThere.ts';
import { acceptKeys } from './doctorMeans.ts';
import { Lanes, type Runner, startRows } from './doctorRows.ts';
import { makeWorld, type World } from './world.ts';

jest.setTimeout(180_000);

const lanes = new Lanes<'jump' | 'strict'>(FAULTS_OF_THE_WAY);
const worlds: World<'jump' | 'strict'>[] = [];
let runners: Runner<'jump' | 'strict'>[];

const TUNNELS = {
  home: { port: 22222, flags: ['--host', 'pi@server.test', '--remote-port', '22222'] },
  far: { port: 22223, flags: ['--host', 'pi@server.test', '--remote-port', '22223', '--jump', 'pi@jump.test'] },
  strict: { port: 22222, server: 'strict', flags: ['--host', 'pi@strict.test', '--remote-port', '22222'] },
} as const;

beforeAll(async () => {
  runners = await Promise.all([startLane(), startLane()]);
  lanes.start(runners);
});
afterAll(() => Promise.all(worlds.map((world) => world.dispose())));

async function startLane(): Promise<Runner<'jump' | 'strict'>> {
  const world = await makeWorld({ jump: {}, strict: { release: 'trixie' } });
  worlds.push(world);
  const { device, server, hosts: { jump, strict } } = world;
  await device.writeFile('/root/known', (await Promise.all([server, jump, strict].map((host) => host.knownHostsLine()))).join(''));
  for (const host of [jump, strict]) await acceptKeys(world, host);
  // The tunnels that a row does not look at lose their sessions too, and have to come back by themselves.
  await server.writeFile('/etc/ssh/sshd_config.d/40-drill.conf', 'ClientAliveInterval 2\nClientAliveCountMax 2\n');
  await server.sshdConfig('');
  for (const [name, { flags }] of Object.entries(TUNNELS)) {
    const { code, stderr } = await world.revtun(['install', name, '--known-hosts', '/root/known', ...flags]);
    expect([name, code, stderr]).toEqual([name, 0, expect.any(String)]);
  }
  return startRows(world, TUNNELS);
}

test.each(lanes.rows.map((row) => [row.name, row.finding, row] as const))('%s: %s', (_name, _finding, row) => lanes.outcome(row));

test.each(Object.keys(TUNNELS))('%s is healthy after all that', async (tunnel) => {
  for (const runner of runners) await runner.expectHealth(tunnel);
});
