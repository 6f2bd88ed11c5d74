import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { waitFor } from '../lab/waitFor.ts';
import { expectHealthy, startDoctorDrill } from './doctorDrill.ts';
import { acceptKeys } from './doctorMeans.ts';
import { addDevice, makeServerEnd } from './serverEnd.ts';
import { makeWorld, type World } from './world.ts';

jest.setTimeout(180_000);

let world: World<'jump'>;

/** Each is asked as the user whose it is. */
const TUNNELS = [
  ['home', '22222', 'pi@server.test'],
  ['cam', '2301', 'revtun-cam@server.test'],
  ['far', '22223', 'pi@server.test', '--jump', 'pi@jump.test'],
  ['mine', '22224', 'pi@server.test'],
] as const;
const asOwner = (name: string) => (name === 'mine' ? { user: 'pi' } : {});

beforeAll(async () => {
  world = await makeWorld({ jump: {} });
  const { device, server, hosts: { jump } } = world;
  await makeServerEnd(server);
  await addDevice(server, { name: 'cam', uid: 65_536, port: 2301, publicKey: await device.readFile('/root/.ssh/id_ed25519.pub') });
  await acceptKeys(world, jump);
  await device.succeed(['loginctl', 'enable-linger', 'pi']);
  await device.writeFile('/srv/known', `${await server.knownHostsLine()}${await jump.knownHostsLine()}`);
  for (const [name, port, host, ...more] of TUNNELS) {
    const install = ['install', name, '--host', host, '--remote-port', port, '--known-hosts', '/srv/known', ...more];
    expect([name, await world.revtun(install, asOwner(name))]).toMatchObject([name, { code: 0 }]);
  }
});
afterAll(() => world?.dispose());

test('a hundred looks at healthy tunnels find nothing, on a machine that is busy', async () => {
  const drill = await startDoctorDrill(world);
  // Five at a time are more work than two processors can do at once.
  let asked = 0;
  const askOnAndOn = async () => {
    while (asked < 100) {
      const [name] = TUNNELS[asked % TUNNELS.length]!;
      asked += 1;
      expectHealthy(await drill.doctor([name], asOwner(name)));
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: 5 }, () => askOnAndOn().catch((error: unknown) => {
    asked = Infinity;
    throw error;
  })));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  expect(asked).toBe(100);
});

test.each(['device', 'server'] as const)('nor do they once the %s has booted and the tunnels are up again', async (booted) => {
  await world[booted].reboot();
  const drill = await startDoctorDrill(world);
  await Promise.all(TUNNELS.map(async ([name]) => {
    await waitFor(async () => (await world.revtun(['status', name], asOwner(name))).code === 0, { what: `${name} to be up`, timeoutMs: 60_000, everyMs: 300 });
    expectHealthy(await drill.doctor([name], asOwner(name)));
  }));
});
