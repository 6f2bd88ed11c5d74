import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { sleep } from '../lab/waitFor.ts';
import { complaintsAbout, makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from './world.ts';

/** Debian 11 (systemd 247, OpenSSH 8.4) and Debian 13 (257, 10.0); the other tests run on Debian 12 (252, 9.2). */
describe.each(['bullseye', 'trixie'] as const)('on Debian %s, device and server', (release) => {
  let world: World<never>;
  let bare: Snapshot;

  beforeAll(async () => {
    world = await makeWorld({}, { device: release, server: release });
    await world.revtun(flags());
    await world.revtun(['uninstall']);
    await world.device.succeed(['true'], { user: 'pi' });
    bare = world.device.snapshot();
  });
  afterAll(() => world?.dispose());

  function flags(...more: string[]): string[] {
    return ['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint, ...more];
  }

  test('a tunnel of the system is installed and proven, and systemd is content with it', async () => {
    const { code, stdout, stderr } = await world.revtun(flags('--json'));
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(stdout)).toMatchObject({ verified: { level: 'proven' } });
    expect(await complaintsAbout(world.device, '/etc/systemd/system/revtun-home.service')).toBe('');
    const { stdout: score } = await world.device.run(['systemd-analyze', 'security', '--no-pager', 'revtun-home.service']);
    expect(Number(/exposure level[^:]*: ([\d.]+)/.exec(score)?.[1])).toBeLessThanOrEqual(1.2);
    expect((await world.revtun(flags())).stdout).toContain('home: unchanged');
  });

  test('it comes back after a boot of the device, and after one of the server', async () => {
    await world.device.reboot();
    await untilReachable(world.server, 22222);
    await world.server.reboot();
    await untilReachable(world.server, 22222);
    expect((await world.revtun(['uninstall', 'home'])).code).toBe(0);
    expect(withoutBackups(diffSnapshots(bare, world.device.snapshot()))).toEqual(UNCHANGED);
  });

  test('a tunnel of a user is installed and proven, in a sandbox that is real', async () => {
    const asPi = (...args: string[]) => world.revtun(args, { user: 'pi' });
    const { code, stdout } = await asPi(...flags());
    expect([code, stdout]).toEqual([0, expect.stringContaining('came back to this machine')]);
    const pid = (await world.device.succeed(['systemctl', '--user', 'show', '-p', 'MainPID', '--value', 'revtun-home.service'], { user: 'pi' })).trim();
    expect((await world.device.run(['nsenter', '-t', pid, '-m', 'test', '-e', '/home/pi/.ssh'])).code).toBe(1);
    expect((await asPi('uninstall')).code).toBe(0);
    expect(diffSnapshots(bare, world.device.snapshot())).toEqual(UNCHANGED);
  });
});

describe('PerSourcePenalties of OpenSSH 10', () => {
  let world: World<never>;
  beforeAll(async () => {
    world = await makeWorld({}, { device: 'trixie', server: 'trixie' });
  });
  afterAll(() => world?.dispose());

  test('never ban a device whose key is refused, and let it in as soon as it is accepted again', async () => {
    const { server, device } = world;
    expect((await world.revtun(['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint])).code).toBe(0);
    const accepted = await server.readFile('/home/pi/.ssh/authorized_keys');
    await server.writeFile('/home/pi/.ssh/authorized_keys', '', { owner: 'pi', mode: 0o600 });
    await server.run(['pkill', '-KILL', '-u', 'pi']);
    await sleep(45_000);
    const refusals = (await device.succeed(['journalctl', '-u', 'revtun-home.service', '-o', 'cat'])).match(/Permission denied/g) ?? [];
    expect(refusals.length).toBeGreaterThan(5);
    expect(await server.succeed(['journalctl', '-u', 'ssh.service', '-o', 'cat'])).not.toMatch(/drop connection|penalty/);
    await server.writeFile('/home/pi/.ssh/authorized_keys', accepted, { owner: 'pi', mode: 0o600 });
    await untilReachable(server, 22222, 10_000);
  });

  test('never ban those who come through a tunnel, to whose sshd all have one address, for how often it is proven', async () => {
    const prove = async () => JSON.parse((await world.revtun(['status', 'home', '--json'])).stdout) as object;
    const all = [...(await Promise.all(Array.from({ length: 7 }, prove))), await prove()];
    for (const one of all) expect(one).toMatchObject({ ok: true, verified: { level: 'proven' } });
    expect(await world.device.succeed(['journalctl', '-u', 'ssh.service', '-o', 'cat'])).not.toMatch(/drop connection|penalty/);
  });
});
