import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { CLI, firstLine, makeWorld, UNCHANGED, withoutBackups, type World } from './world.ts';

let world: World<never>;
let bare: Snapshot;

/** The administrator sits at the host "device", and plays the devices as well. */
beforeAll(async () => {
  world = await makeWorld();
  await world.device.writeFile('/root/.ssh/known_hosts', await world.server.knownHostsLine());
  for (const name of ['cam1', 'cam2', 'cam3']) {
    await world.device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', `/root/${name}`]);
  }
  bare = world.server.snapshot();
});
afterAll(() => world?.dispose());

const DEST = 'pi@server.test';
const server = (...args: string[]) => world.revtun(['server', ...args]);
const json = async (...args: string[]) => {
  const { code, stdout, stderr } = await server(...args, '--json');
  try {
    return { code, stderr, answer: JSON.parse(stdout) as Record<string, unknown> };
  } catch {
    throw new Error(`no JSON: ${stdout}${stderr}`);
  }
};
const listed = async (name: string) => ((await json('list', DEST)).answer['devices'] as { name: string }[]).find((device) => device.name === name);

/** A tunnel by hand, with what `server add` printed. */
const connect = (name: string, port: number) => world.device.spawn([
  'ssh', '-NT', '-F', 'none', '-i', `/root/${name}`, '-o', 'BatchMode=yes', '-o', 'ExitOnForwardFailure=yes', '-o', 'StrictHostKeyChecking=yes',
  '-o', 'UserKnownHostsFile=/root/.ssh/known_hosts', '-R', `127.0.0.1:${port}:localhost:22`, '--', `revtun-${name}@server.test`,
]);
const untilReached = (port: number) => waitFor(async () => (await firstLine(world.server, port))?.startsWith('SSH-') === true, { what: `port ${port}`, timeoutMs: 10_000 });

describe('a server', () => {
  test('that is not set up takes no devices, and says what to do', async () => {
    const { code, stderr } = await server('add', 'cam1', '--key', '/root/cam1.pub', DEST);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`revtun-setup server setup ${DEST}`)]);
    expect((await json('check', DEST)).answer).toMatchObject({ ok: false, error: { code: 'server-not-set-up' } });
  });

  test('a dry run of setup touches nothing', async () => {
    const { code, stdout } = await server('setup', DEST, '--dry-run');
    expect([code, stdout]).toEqual([0, expect.stringContaining('write /etc/ssh/sshd_config.d/00-revtun.conf\n  log in anew')]);
    expect(diffSnapshots(bare, world.server.snapshot())).toEqual(UNCHANGED);
  });

  test('a person at a terminal sees the plan, and no is no', async () => {
    const terminal = await world.device.terminal({ argv: [process.execPath, CLI, 'server', 'setup', DEST], rows: 60 });
    try {
      const screen = await terminal.waitForText('Do it?', 20_000);
      expect(screen).toContain('log in anew');
      await terminal.type('n');
      await terminal.press('Enter');
      expect(await terminal.exited(20_000)).toEqual({ code: 130 });
    } finally {
      await terminal.close();
    }
    expect(diffSnapshots(bare, world.server.snapshot())).toEqual(UNCHANGED);
  });

  test('what a run left that was killed in the middle is put back by the next one, which goes on', async () => {
    const killed = world.device.spawn([process.execPath, CLI, 'server', 'setup', DEST]);
    await waitFor(async () => (await world.server.run(['test', '-e', '/run/revtun-restore.d'])).code === 0, { what: 'the timer', timeoutMs: 20_000, everyMs: 5 });
    killed.signal('SIGKILL');
    await killed.exited;
    const { code, stderr } = await server('setup', DEST, '--dry-run');
    expect([code, stderr]).toEqual([0, '']);
    const again = await json('setup', DEST);
    expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('An earlier run was cut off')]);
    expect((await json('remove', '--all', DEST)).answer).toMatchObject({ ok: true, changed: true });
    expect(withoutBackups(diffSnapshots(bare, world.server.snapshot()))).toEqual(UNCHANGED);
  });

  test('is set up once', async () => {
    const first = await json('setup', DEST);
    expect([first.code, first.answer]).toEqual([0, expect.objectContaining({ ok: true, changed: true })]);
    expect((await world.server.run(['ls', '/run/revtun-restore.sh', '/run/revtun-restore.d'])).stdout).toBe('');
    const before = world.server.snapshot();
    const again = await server('setup', DEST);
    expect([again.code, again.stdout]).toEqual([0, `${DEST}: unchanged\n`]);
    expect(diffSnapshots(before, world.server.snapshot())).toEqual(UNCHANGED);
  });

  test("an administrator's AllowUsers does not lock devices out", async () => {
    await world.server.sshdConfig('AllowUsers pi root\nPasswordAuthentication no\n');
    expect((await json('check', DEST)).answer).toMatchObject({ ok: true });
  });

  test('admits a device, which gets in with what was printed', async () => {
    const { code, answer } = await json('add', 'cam1', '--key', '/root/cam1.pub', DEST);
    expect([code, answer]).toEqual([0, {
      ok: true, changed: true, device: 'cam1', host: 'server.test', user: 'revtun-cam1', port: 22, remotePort: 20_000, hostKey: world.fingerprint,
      steps: [expect.stringContaining('useradd --system --uid 65536 '), 'write /etc/ssh/revtun/65536'],
      install: ['revtun-setup', 'install', '--host', 'revtun-cam1@server.test', '--remote-port', '20000', '--key', '/root/cam1', '--host-key', world.fingerprint],
    }]);
    expect(await listed('cam1')).toEqual({ name: 'cam1', port: 20_000, bind: '127.0.0.1', connected: false, since: null, from: null });
    connect('cam1', 20_000);
    await untilReached(20_000);
  });

  test('list says since when and from where', async () => {
    const behind = world.device.v4;
    const device = await listed('cam1') as unknown as { connected: boolean; since: string; from: string };
    expect(device.connected).toBe(true);
    expect(Date.now() - Date.parse(device.since)).toBeLessThan(30_000);
    expect(device.from).toMatch(/^[\d.]+$|^[\da-f:]+$/);
    expect(device.from).not.toBe(behind);
    expect((await server('list', DEST)).stdout).toMatch(/^cam1 +20000 +127\.0\.0\.1 +connected for \d+ s +\S+$/m);
  });

  test('the same again changes nothing; another key or port, or the same key for another device, is refused', async () => {
    const again = await json('add', 'cam1', '--key', '/root/cam1.pub', DEST);
    expect([again.code, again.answer]).toEqual([0, expect.objectContaining({ changed: false, remotePort: 20_000, steps: [] })]);
    for (const [wish, id] of [
      [['cam1', '--key', '/root/cam2.pub'], 'device-exists'],
      [['cam1', '--key', '/root/cam1.pub', '--remote-port', '20001'], 'device-exists'],
      [['cam2', '--key', '/root/cam1.pub'], 'key-in-use'],
      [['cam2', '--key', '/root/cam2.pub', '--remote-port', '20000'], 'port-promised'],
      [['cam2', '--key', '/root/cam2.pub', '--remote-port', '22'], 'port-privileged'],
      [['cam2', '--key', '/root/cam2.pub', '--bind', '*'], 'risk'],
      [['cam2', '--key', '/root/cam2'], 'usage'],
    ] as const) {
      expect([id, await json('add', ...wish, DEST)]).toEqual([id, expect.objectContaining({ code: 2, answer: expect.objectContaining({ error: expect.objectContaining({ code: id }) }) })]);
    }
  });

  test('a port of its own for the next, never one that something holds', async () => {
    await world.server.bannerServer(20_001, 'taken');
    expect((await json('add', 'cam2', '--key', '/root/cam2.pub', DEST)).answer).toMatchObject({ remotePort: 20_002 });
  });

  test("what is printed needs no alias of the administrator's", async () => {
    await world.device.writeFile('/root/.ssh/config', 'Host tunl\n  HostName server.test\n  User pi\nHost far\n  HostName server.test\n  User pi\n  ProxyJump tunl\n', { mode: 0o600 });
    expect((await json('add', 'cam2', '--key', '/root/cam2.pub', 'tunl')).answer).toMatchObject({ changed: false, host: 'server.test', install: expect.arrayContaining(['revtun-cam2@server.test']) });
    const { stdout, stderr } = await server('add', 'cam2', '--key', '/root/cam2.pub', 'far');
    expect([stdout, stderr]).toEqual([expect.stringContaining('--host revtun-cam2@server.test --jump pi@server.test --remote-port 20002'), expect.stringContaining('leave --jump out')]);
  });

  test('check names the line that wins over ours, and nobody is admitted then', async () => {
    await world.server.writeFile('/etc/ssh/sshd_config.d/00-aaa.conf', '# somebody else\nMatch User revtun-cam2,revtun-cam1,revtun-cam3\n  PermitTTY yes\nMatch User nobody\n');
    const { code, answer } = await json('check', DEST);
    const added = await json('add', 'cam3', '--key', '/root/cam3.pub', DEST);
    await world.server.succeed(['rm', '/etc/ssh/sshd_config.d/00-aaa.conf']);
    expect(added.answer).toMatchObject({ ok: false, error: { code: 'settings-overridden', message: expect.stringContaining('00-aaa.conf:3') } });
    expect((await world.server.run(['getent', 'passwd', 'revtun-cam3'])).code).not.toBe(0);
    expect(code).toBe(1);
    expect((answer['findings'] as { level: string }[]).filter(({ level }) => level === 'fault')).toEqual(['cam1', 'cam2'].map((device) => ({
      finding: 'setting', level: 'fault', device, says: expect.any(String),
      setting: { keyword: 'permittty', seen: 'yes', wanted: 'no', where: '/etc/ssh/sshd_config.d/00-aaa.conf:3 (Match User revtun-cam2,revtun-cam1,revtun-cam3)' },
    })));
  });

  test('remove ends the session that stands', async () => {
    const { code, answer } = await json('remove', 'cam1', DEST);
    expect([code, answer]).toEqual([0, expect.objectContaining({ ok: true, changed: true })]);
    expect(await firstLine(world.server, 20_000)).toBeUndefined();
    expect(await listed('cam1')).toBeUndefined();
    expect(await connect('cam1', 20_000).exited).toBe(255);
    expect((await server('remove', 'cam1', DEST)).code).toBe(3);
  });

  test('remove --all leaves nothing', async () => {
    connect('cam2', 20_002);
    await untilReached(20_002);
    const { code, stdout, stderr } = await server('remove', '--all', DEST);
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringContaining('nothing of revtun-setup is left')]);
    const { added, removed, changed } = withoutBackups(diffSnapshots(bare, world.server.snapshot()));
    // The test's own: its settings of sshd, and its banner server.
    expect([added.filter((path) => !/50-lab\.conf|banner|\/srv\/lab/.test(path)), removed, changed.filter((path) => !/\.wants$|system$/.test(path))]).toEqual([[], [], []]);
    expect((await server('list', DEST)).stdout).toContain('No devices');
    expect((await server('remove', '--all', DEST)).stdout).toContain('There is nothing of revtun-setup on that server.');
  });

  test('whose sshd_config includes no drop-ins gets a block there, and its own bytes back', async () => {
    const was = (await world.server.readFile('/etc/ssh/sshd_config')).replace(/^Include .*\n/m, '');
    await world.server.writeFile('/etc/ssh/sshd_config', was);
    await world.server.succeed(['systemctl', 'reload', 'ssh.service']);
    const { code, stdout } = await server('setup', DEST);
    expect([code, stdout]).toEqual([0, expect.stringContaining('go to the end of /etc/ssh/sshd_config')]);
    expect((await json('add', 'cam1', '--key', '/root/cam1.pub', DEST)).answer).toMatchObject({ ok: true, changed: true });
    connect('cam1', 20_000);
    await untilReached(20_000);
    expect((await json('check', DEST)).answer).toMatchObject({ ok: true });
    expect((await server('remove', '--all', DEST)).code).toBe(0);
    expect(await world.server.readFile('/etc/ssh/sshd_config')).toBe(was);
  });
});
