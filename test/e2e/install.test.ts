import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { complaintsAbout, UNCHANGED, untilReachable, withoutBackups, type World, makeWorld } from './world.ts';

let world: World<never>;
let bare: Snapshot;

beforeAll(async () => {
  world = await makeWorld();
  bare = world.device.snapshot();
});
afterAll(() => world?.dispose());

const flags = (...more: string[]) => ['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint, ...more];
const invocation = async () => (await world.device.succeed(['systemctl', 'show', '-p', 'InvocationID', 'revtun-home.service'])).trim();

describe('a tunnel of the system, by flags', () => {
  test('a dry run checks everything and touches nothing', async () => {
    const { code, stdout } = await world.revtun(flags('--dry-run'));
    expect([code, stdout]).toEqual([0, expect.stringContaining('start: systemctl start -- revtun-home.service')]);
    expect(diffSnapshots(bare, world.device.snapshot())).toEqual(UNCHANGED);
  });

  test('is installed, enabled, running and proven', async () => {
    const { code, stdout, stderr } = await world.revtun(flags('--json'));
    expect([code, stderr]).toEqual([0, expect.stringContaining('came back to this machine')]);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true, changed: true, name: 'home', scope: 'system', unit: 'revtun-home.service',
      files: ['/etc/revtun/home/known_hosts', '/etc/revtun/home/ssh_config', '/etc/systemd/system/revtun-home.service'],
      verified: { level: 'proven', forwards: [{ forward: '127.0.0.1:22222:localhost:22', finding: 'proven' }] },
    });
    await untilReachable(world.server, 22222, 2000);
    expect((await world.device.run(['systemctl', 'is-enabled', 'revtun-home.service'])).stdout.trim()).toBe('enabled');
  });

  test('the service runs as its own user, and systemd has nothing to say against the unit', async () => {
    const pid = (await world.device.succeed(['systemctl', 'show', '-p', 'MainPID', '--value', 'revtun-home.service'])).trim();
    expect((await world.device.succeed(['ps', '-o', 'user=,args=', '-p', pid])).trim()).toMatch(/^revtun +\/usr\/bin\/ssh -fNTy -F/);
    expect(await complaintsAbout(world.device, '/etc/systemd/system/revtun-home.service')).toBe('');
  });

  test('the same command again changes nothing and restarts nothing', async () => {
    const [before, was] = [world.device.snapshot(), await invocation()];
    const { code, stdout } = await world.revtun(flags());
    expect([code, stdout]).toEqual([0, expect.stringContaining('home: unchanged')]);
    expect(diffSnapshots(before, world.device.snapshot())).toEqual(UNCHANGED);
    expect(await invocation()).toBe(was);
  });

  test('the name alone means the tunnel as it is', async () => {
    const { code, stdout } = await world.revtun(['install', 'home']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('home: unchanged')]);
  });

  test('changed flags show what differs and are applied', async () => {
    const { code, stdout } = await world.revtun(flags('--keepalive', '7'));
    expect([code, stdout]).toEqual([0, expect.stringMatching(/- ServerAliveInterval 3\n\+ ServerAliveInterval 7\n/)]);
    expect(await world.device.readFile('/etc/revtun/home/ssh_config')).toContain('ServerAliveInterval 7');
  });

  test('a run that would drop a setting is refused, and the command that it prints keeps it', async () => {
    const was = await invocation();
    const { code, stderr } = await world.revtun(['install', 'home', '--host', 'pi@server.test', '--remote-port', '22223']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--keepalive: now 7, would become 3')]);
    expect(await invocation()).toBe(was);
    const printed = /^ {2}revtun-setup (install .*)$/m.exec(stderr)?.[1] ?? '';
    const again = await world.revtun([...printed.split(' '), '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({ ok: true, changed: true, verified: { level: 'proven' } });
    expect(await world.device.readFile('/etc/revtun/home/ssh_config')).toContain('ServerAliveInterval 7');
    await untilReachable(world.server, 22223, 2000);
  });

  test('one flag alone changes that, and leaves the rest as it is', async () => {
    const { code, stdout } = await world.revtun(['install', 'home', '--remote-port', '22224']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/- RemoteForward 127.0.0.1:22223:localhost:22\n\+ RemoteForward 127.0.0.1:22224:localhost:22\n/)]);
    expect((await world.revtun(['install', 'home', '--remote-port', '22223'])).code).toBe(0);
    expect(await world.device.readFile('/etc/revtun/home/ssh_config')).toContain('ServerAliveInterval 7');
    const refusal = await world.revtun(['install', 'home', '-R', '8080:localhost:80']);
    expect([refusal.code, refusal.stderr]).toEqual([2, expect.stringContaining('  -R 127.0.0.1:22223:localhost:22\n')]);
    await untilReachable(world.server, 22223, 2000);
  });

  test('list, status and logs tell the truth about it', async () => {
    expect((await world.revtun(['list'])).stdout).toMatch(/^home +system +up +pi@server.test +-R 127.0.0.1:22223:localhost:22$/m);
    const { code, stdout } = await world.revtun(['status', 'home', '--json']);
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({
      ok: true, state: 'up', enabled: true, restarts: 0, server: 'pi@server.test', connect: 'ssh -J pi@server.test -p 22223 root@localhost',
      verified: expect.objectContaining({ level: 'proven' }),
    })]);
    expect((await world.revtun(['logs', 'home', '-n', '5'])).stdout).toMatch(/Started (revtun-home.service|Reverse tunnel home)/);
  });

  test('it comes back after the device boots again', async () => {
    await world.device.reboot();
    await untilReachable(world.server, 22223);
  });

  test('it comes back after the server boots again, and status says why it was down', async () => {
    await world.server.reboot();
    await untilReachable(world.server, 22223);
    const { stdout } = await world.revtun(['status', 'home', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'up', lastReason: expect.stringMatching(/closed|refused|timed out|Timeout|reset/) });
  });

  test('status of a stopped tunnel is 3, and an install starts it again', async () => {
    await world.device.succeed(['systemctl', 'stop', 'revtun-home.service']);
    const { code, stderr } = await world.revtun(['status', 'home']);
    expect([code, stderr]).toEqual([3, '']);
    expect((await world.revtun(['install', 'home'])).code).toBe(0);
    await untilReachable(world.server, 22223, 2000);
  });

  test('uninstall leaves the machine as it was', async () => {
    const { code, stdout } = await world.revtun(['uninstall', 'home']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('home: removed')]);
    expect(stdout).toContain('left on purpose: /root/.ssh/id_ed25519 (your key)');
    expect(withoutBackups(diffSnapshots(bare, world.device.snapshot()))).toEqual(UNCHANGED);
    expect((await world.device.run(['systemctl', 'list-units', '--all', '--no-legend', 'revtun-*'])).stdout.trim()).toBe('');
    expect((await world.device.run(['getent', 'passwd', 'revtun'])).code).not.toBe(0);
  });

  test('what is not there cannot be removed, shown or followed', async () => {
    for (const command of ['uninstall', 'status', 'logs']) expect([command, (await world.revtun([command, 'home'])).code]).toEqual([command, 3]);
  });
});
