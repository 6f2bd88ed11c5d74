import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { CLI, makeWorld, UNCHANGED, untilReachable, type World } from './world.ts';

let world: World<never>;
let bare: Snapshot;

beforeAll(async () => {
  world = await makeWorld();
  // Where polkit is installed it lets users linger; without it (or when it is masked) they may not.
  await world.device.run(['systemctl', 'mask', '--now', 'polkit.service']);
  // A first login makes the user's manager write what it always writes.
  await world.device.succeed(['true'], { user: 'pi' });
  bare = world.device.snapshot();
});
afterAll(() => world?.dispose());

const asPi = (...args: string[]) => world.revtun(args, { user: 'pi' });
const flags = () => ['install', 'mine', '--host', 'server.test', '--remote-port', '22222', '--host-key', world.fingerprint];

describe('a tunnel of an ordinary user', () => {
  test('the system scope is refused, with the same command under sudo', async () => {
    const { code, stderr } = await asPi(...flags(), '--scope', 'system');
    expect([code, stderr]).toEqual([1, expect.stringContaining(`sudo ${process.execPath} ${CLI} install mine --host server.test --remote-port 22222`)]);
  });

  test('under sudo, the user scope is refused: it would be root\'s', async () => {
    const { code, stderr } = await world.device.run(['sudo', process.execPath, CLI, ...flags(), '--scope', 'user'], { user: 'pi' });
    expect([code, stderr]).toEqual([1, expect.stringContaining('without sudo')]);
  });

  test('is installed and proven; that it ends at logout is said, where lingering may not be switched on', async () => {
    const { code, stdout, stderr } = await asPi(...flags());
    expect([code, stdout]).toEqual([0, expect.stringContaining('came back to this machine')]);
    expect(stderr).toContain('loginctl enable-linger pi');
    const again = await asPi(...flags(), '--json');
    expect([JSON.parse(again.stdout), again.stderr]).toMatchObject([{ ok: true, changed: false, steps: [] }, expect.stringContaining('mine: unchanged')]);
  });

  test('its sandbox is real: another mount namespace, no key to be read in the home', async () => {
    const pid = (await world.device.succeed(['systemctl', '--user', 'show', '-p', 'MainPID', '--value', 'revtun-mine.service'], { user: 'pi' })).trim();
    const namespaceOf = async (which: string) => (await world.device.succeed(['readlink', `/proc/${which}/ns/mnt`])).trim();
    expect(await namespaceOf(pid)).not.toBe(await namespaceOf('1'));
    expect((await world.device.run(['nsenter', '-t', pid, '-m', 'test', '-e', '/home/pi/.ssh'])).code).toBe(1);
    expect((await world.device.succeed(['grep', '^CapBnd', `/proc/${pid}/status`])).trim()).toMatch(/0{16}$/);
  });

  test('systemd has nothing to say against the unit', async () => {
    // Its verifier takes the place of a manager in the runtime directory: it gets one of its own.
    const { stdout, stderr } = await world.device.run(
      ['sh', '-c', 'XDG_RUNTIME_DIR=$(mktemp -d) exec systemd-analyze --user verify "$HOME/.config/systemd/user/revtun-mine.service"'], { user: 'pi' });
    expect(stdout + stderr).toBe('');
  });

  test('with lingering it outlives the login and a reboot, and a second run changes nothing', async () => {
    await world.device.succeed(['loginctl', 'enable-linger', 'pi']);
    expect((await asPi(...flags())).code).toBe(0);
    expect((await asPi(...flags())).stdout).toContain('mine: unchanged');
    await world.device.reboot();
    await untilReachable(world.server, 22222);
    expect(JSON.parse((await asPi('status', '--json')).stdout)).toMatchObject({ state: 'up', scope: 'user', verified: { level: 'proven' } });
  });

  test('root sees its own tunnels, not this one', async () => {
    expect((await world.revtun(['list'])).stdout).toContain('No tunnels');
  });

  test('uninstall leaves home as it was', async () => {
    expect((await asPi('uninstall')).code).toBe(0);
    await world.device.run(['loginctl', 'disable-linger', 'pi']);
    expect(diffSnapshots(bare, world.device.snapshot())).toEqual(UNCHANGED);
  });
});

describe('lingering that this program may switch on', () => {
  test('is switched on, and off again with the last tunnel', async () => {
    // What polkit would allow a person at the machine: here, the user is root.
    const asRoot = (...args: string[]) => world.revtun([...args, '--scope', 'user'], { user: 'root' });
    const before = world.device.snapshot();
    expect((await asRoot('install', 'mine', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint)).code).toBe(0);
    expect((await world.device.run(['test', '-e', '/var/lib/systemd/linger/root'])).code).toBe(0);
    expect((await asRoot('uninstall')).code).toBe(0);
    expect(diffSnapshots(before, world.device.snapshot())).toEqual(UNCHANGED);
  });
});
