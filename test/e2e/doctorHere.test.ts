import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { diffSnapshots } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { type DoctorDrill, expectHeadline, expectHealthy, script, startDoctorDrill } from './doctorDrill.ts';
import { FILES, MACHINE, RIVALS, SERVICE } from './doctorFaultsHere.ts';
import { makeWorld, UNCHANGED, type World } from './world.ts';

jest.setTimeout(60_000);

let world: World<never>;
let drill: DoctorDrill<World<never>>;

const install = (name: string, port: number, ...more: string[]) =>
  ['install', name, '--host', 'pi@server.test', '--remote-port', String(port), '--host-key', world.fingerprint, ...more];

beforeAll(async () => {
  world = await makeWorld();
});
afterAll(() => world?.dispose());

test('without a tunnel, the machine is looked at', async () => {
  const { stdout, code } = await world.revtun(['doctor', '--json']);
  expect([code, JSON.parse(stdout)]).toEqual([0, {
    ok: true, changed: false, finding: null, checks: ['ssh', 'systemd', 'disk'].map((check) => ({ check, level: 'ok', says: expect.any(String) })),
  }]);
});

describe('a tunnel of the system:', () => {
  beforeAll(async () => {
    expect(await world.revtun(install('home', 22222))).toMatchObject({ code: 0 });
    drill = await startDoctorDrill(world);
  });

  test('healthy: no fault, for root and for one who may not see all of it', async () => {
    expectHealthy(await drill.doctor());
    const asPi = await drill.doctor([], { user: 'pi' });
    expectHealthy(asPi, false);
    expect(asPi.checks).toContainEqual({ check: 'key', level: 'unknown', says: expect.stringContaining('sudo') });
  });

  test('no fault: what others have set up beside it, and a unit of another version', async () => {
    await script(world.device, `cd /etc/systemd/system; mkdir revtun-home.service.d
      printf '[Service]\nNice=-5\nEnvironment=WHO=me\n' > revtun-home.service.d/mine.conf
      sed -i '1s/revtun-setup [^ ]* /revtun-setup 0.0.1. /' revtun-home.service; systemctl daemon-reload
      systemd-run -q --unit=beside ssh -NT -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -R 22299:localhost:22 pi@server.test`);
    try {
      const answer = await drill.doctor();
      expectHealthy(answer);
      expect(answer.checks).toContainEqual({ check: 'unit', level: 'unknown', says: expect.stringContaining('0.0.1') });
    } finally {
      await script(world.device, 'systemctl stop beside.service');
      await drill.heal();
    }
  });

  test('of another name there is none', async () => {
    expect(await drill.doctor(['nosuch'])).toMatchObject({ code: 3, error: { code: 'no-tunnel' } });
  });

  describe.each([['the machine', MACHINE], ['its files', FILES], ['its service', SERVICE], ['rivals', RIVALS]] as const)('%s:', (_of, faults) => {
    const rows = faults.map((fault) => [fault.name, `${fault.finding}${fault.fix === undefined ? '' : ', which --fix mends'}`, fault] as const);
    test.each(rows)('%s: %s', async (_name, _what, fault) => {
      await (fault.fix === undefined ? drill.expectFinding(fault) : drill.expectMended(fault));
    });
  });

  test('what --fix cannot mend, it leaves alone', async () => {
    await world.device.succeed(['rm', '/root/.ssh/id_ed25519']);
    try {
      const before = world.device.snapshot();
      expectHeadline(await drill.doctor(['home', '--fix', '--yes']), 'key-missing');
      expect(diffSnapshots(before, world.device.snapshot())).toEqual(UNCHANGED);
    } finally {
      await drill.heal();
    }
  });
});

describe('a tunnel of a user:', () => {
  const asPi = { user: 'pi' };

  test('healthy, and an ordinary user\'s: no fault', async () => {
    await world.device.succeed(['loginctl', 'enable-linger', 'pi']);
    expect(await world.revtun(install('mine', 22223), asPi)).toMatchObject({ code: 0 });
    expectHealthy(await drill.doctor(['mine'], asPi));
  });

  test('with a key that sudo ssh-keygen made: key-unreadable', async () => {
    const owned = (by: string) => world.device.succeed(['chown', by, '/home/pi/.ssh/id_ed25519']);
    await owned('root');
    try {
      expectHeadline(await drill.doctor(['mine'], asPi), 'key-unreadable');
    } finally {
      await owned('pi');
    }
  });

  test('a session keeps it up, and it would end with that: --fix switches lingering on', async () => {
    // Whether an ordinary user may do so depends on polkit; this user is root, who may.
    const asRoot = { user: 'root' };
    expect(await world.revtun(install('roots', 22224, '--scope', 'user'), asRoot)).toMatchObject({ code: 0 });
    const session = world.device.spawn(['sleep', '60'], asRoot);
    await waitFor(async () => (await world.device.run(['pgrep', '-x', 'sleep'])).code === 0, { what: 'a session' });
    await world.device.succeed(['loginctl', 'disable-linger', 'root']);
    const before = world.device.snapshot();
    const [answer, planned] = await Promise.all([drill.doctor(['roots'], asRoot), drill.doctor(['roots', '--fix', '--dry-run'], asRoot)]);
    expectHeadline(answer, 'lingering-off');
    expect(planned).toMatchObject({ code: 0, finding: 'lingering-off', changed: false, steps: [expect.stringContaining('enable-linger root')] });
    expect(diffSnapshots(before, world.device.snapshot())).toEqual(UNCHANGED);
    expectHealthy(await drill.doctor(['roots', '--fix', '--yes'], asRoot));
    session.signal('SIGKILL');
    await session.exited;
    expectHealthy(await drill.doctor(['roots'], asRoot));
  });
});
