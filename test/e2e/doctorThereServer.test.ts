import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { BUS, FAULTS_OF_THE_SERVER, lowestFreePort } from './doctorFaultsServer.ts';
import { runSocketServer } from './doctorMeans.ts';
import { Lanes, type Runner, startRows } from './doctorRows.ts';
import { addDevice, makeServerEnd } from './serverEnd.ts';
import { CLI, makeWorld, type World } from './world.ts';

jest.setTimeout(180_000);

const lanes = new Lanes<'clone'>(FAULTS_OF_THE_SERVER);
const worlds: World<'clone'>[] = [];
let runners: Runner<'clone'>[];

const TUNNELS = {
  home: { port: 22222, flags: ['--host', 'pi@server.test', '--remote-port', '22222'] },
  // The home router translates IPv4 alone.
  four: { port: 22225, flags: ['--host', 'pi@server4.test', '--remote-port', '22225'] },
  low: { port: 80, flags: ['--host', 'pi@server.test', '--remote-port', '80'] },
  pub: { port: 22224, flags: ['--host', 'pi@server.test', '--remote-port', '22224', '--bind', '*', '--accept-risk=public'] },
  bus: { port: 8081, flags: ['--host', 'pi@server.test', '-R', `127.0.0.1:8081:${BUS}`] },
  cam: { port: 2301, flags: ['--host', 'revtun-cam@server.test', '--remote-port', '2301'] },
} as const;

beforeAll(async () => {
  runners = await Promise.all([startLane(), startLane()]);
  lanes.start(runners);
});
afterAll(() => Promise.all(worlds.map((world) => world.dispose())));

async function startLane(): Promise<Runner<'clone'>> {
  const world = await makeWorld({ clone: { side: 'nat' } });
  worlds.push(world);
  const { device, server, hosts: { clone } } = world;
  await makeServerEnd(server);
  await addDevice(server, { name: 'cam', uid: 65_536, port: 2301, publicKey: await device.readFile('/root/.ssh/id_ed25519.pub') });
  await lowestFreePort(world, 0);
  await server.sshdConfig('GatewayPorts clientspecified');
  await runSocketServer(device, BUS);
  const install = (name: keyof typeof TUNNELS) => ['install', name, '--host-key', world.fingerprint, ...TUNNELS[name].flags];
  for (const name of Object.keys(TUNNELS) as (keyof typeof TUNNELS)[]) {
    const { code, stderr } = await world.revtun(install(name));
    expect([name, code, stderr]).toEqual([name, 0, expect.any(String)]);
  }
  await clone.writeFile('/root/.ssh/id_ed25519', await device.readFile('/root/.ssh/id_ed25519'), { mode: 0o600 });
  await clone.succeed([process.execPath, CLI, ...install('cam'), '--no-start', '--no-verify']);
  return startRows(world, TUNNELS);
}

test.each(lanes.rows.map((row) => [row.name, row.finding, row] as const))('%s: %s', (_name, _finding, row) => lanes.outcome(row));

test.each(['low', 'four'])('%s is healthy after all that', async (tunnel) => {
  for (const runner of runners) await runner.expectHealth(tunnel);
});
