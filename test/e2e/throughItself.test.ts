import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Result } from '../lab/child.ts';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { CLI, firstLine, makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from './world.ts';

let world: World<never>;
let before: Snapshot;

const WATCHED = ['/etc', '/home', '/root', '/var/lib/systemd'];
/** Where programs say something that nobody is connected to hear. */
const SAID = '/dev/shm/said';

/** A tunnel to this port of the server; a change has to be confirmed in so many seconds. */
const flags = (port: number, seconds: number, ...more: string[]) => [
  'install', 'home', '--host', 'pi@server.test', '--remote-port', String(port), '--host-key', world.fingerprint,
  '--key', '/root/.ssh/id_ed25519', '--confirm-within', String(seconds), ...more,
];

beforeAll(async () => {
  world = await makeWorld();
  const { device, server } = world;
  // Whoever works on the device comes from its server.
  await server.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/.ssh/id_ed25519']);
  await device.authorizeKey('pi', await server.readFile('/root/.ssh/id_ed25519.pub'));
  // A tunnel of pi's has to go on without a login; and a first login makes the user's manager write what it always writes.
  await device.succeed(['loginctl', 'enable-linger', 'pi']);
  expect((await world.revtun(flags(22222, 60))).code).toBe(0);
  await device.succeed(['true'], { user: 'pi' });
  before = device.snapshot(WATCHED);
});
afterAll(() => world?.dispose());

const login = (port: number, ...options: string[]) => [
  'ssh', '-F', 'none', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR',
  ...options, '-p', String(port), 'pi@localhost',
];

const line = (args: readonly string[], program = `sudo ${process.execPath}`) => `${program} ${CLI} ${args.join(' ')}`;

/** Runs a command in a login that comes through the tunnel; ssh ends with 255 when the tunnel does. */
const through = (port: number, command: string, ...options: string[]): Promise<Result> => world.server.run([...login(port, ...options), command], { timeoutMs: 60_000 });

const revtun = (port: number, ...args: string[]): Promise<Result> => through(port, line(args));

const answerOf = ({ code, stdout }: Result): unknown[] => [code, JSON.parse(stdout)];

/** What was said on the device where SAID is. */
async function said(isWhole: (text: string) => boolean): Promise<string> {
  return waitFor(async () => {
    const { stdout } = await world.device.run(['cat', SAID]);
    return isWhole(stdout) && stdout;
  }, { timeoutMs: 30_000, what: SAID });
}

/** Waits until a change is decided, one way or the other. */
const untilDecided = () => waitFor(async () => (await world.device.run(['test', '-e', '/etc/revtun/.former-home'])).code !== 0, { timeoutMs: 30_000, what: 'a decision' });

async function expectNothingWaits(): Promise<void> {
  expect(await world.device.succeed(['systemctl', 'list-units', '--all', '--plain', '--no-legend', 'former-*'])).toBe('');
  expect(await world.device.succeed(['find', '/etc', '/home', '-name', '*former-*'])).toBe('');
}

/** The former tunnel, byte for byte. */
async function expectBack(): Promise<void> {
  await untilDecided();
  await untilReachable(world.server, 22222, 15_000);
  expect(withoutBackups(diffSnapshots(before, world.device.snapshot(WATCHED)))).toEqual(UNCHANGED);
  await expectNothingWaits();
}

describe('a change made through the tunnel itself', () => {
  test('is confirmed from a new login: it stays, and nothing else is left of it', async () => {
    const { code, stdout, stderr } = await through(22222, line(flags(22223, 60)), '-tt');
    expect([code, stdout + stderr]).toEqual([255, expect.stringContaining(
      'This session came through the tunnel home, which is now restarted. Log in anew within 60 s:\r\n  ssh -J pi@server.test -p 22223 pi@localhost\r\nand type:\r\n  sudo revtun-setup confirm home\r\n')]);
    await untilReachable(world.server, 22223);
    const pending = { confirmBy: expect.any(String), confirm: 'sudo revtun-setup confirm home' };
    // Waits for the run that goes on without its terminal.
    expect(answerOf(await revtun(22223, ...flags(22223, 60, '--json')))).toMatchObject([0, { changed: false, pending }]);
    expect(answerOf(await revtun(22223, 'status', '--no-verify', '--json'))).toMatchObject([0, { state: 'up', pending }]);
    expect(answerOf(await revtun(22223, ...flags(22224, 60, '--json')))).toMatchObject([2, { error: { code: 'on-trial', hint: expect.stringContaining('revtun-setup confirm home') } }]);
    expect(answerOf(await revtun(22223, 'confirm', '--json'))).toEqual([0, { ok: true, changed: true, name: 'home', scope: 'system', unit: 'revtun-home.service' }]);
    expect(diffSnapshots(before, world.device.snapshot(WATCHED))).toEqual({ ...UNCHANGED, changed: ['/etc/systemd/system/revtun-home.service'] });
    await expectNothingWaits();
    expect(answerOf(await revtun(22223, 'confirm', '--json'))).toMatchObject([3, { error: { code: 'nothing-on-trial' } }]);
  });

  test('from elsewhere it is made at once, and is not to be confirmed', async () => {
    const { code, stdout } = await world.revtun(flags(22222, 60, '--json'));
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.not.objectContaining({ pending: expect.anything() })]);
    await expectBack();
  });

  test('comes back by itself, without the units that it has brought; what follows in the same line does not confirm it', async () => {
    await through(22222, `(${line(flags(22223, 7, '--on-up', '/bin/true'))}; ${line(['confirm', 'home', '--json'])}) > ${SAID} 2>&1`);
    const text = await said((all) => all.endsWith('Log in anew, and confirm it there.\n'));
    expect(text).toContain('"code":"old-session"');
    expect(text).toContain('✔ proven');
    await expectBack();
    expect(await firstLine(world.server, 22223)).toBeUndefined();
    expect((await world.device.run(['systemctl', 'is-active', 'revtun-notice@home.path'])).stdout.trim()).toBe('inactive');
  });

  test('in tmux, of which nobody can tell where it is attached, a new login has to be seen', async () => {
    const confirm = `${line(['confirm', '--json'])} >> ${SAID} 2>&1`;
    const inTmux = `${line(flags(22223, 60))} > ${SAID} 2>&1; ${confirm}; tmux wait-for again; ${confirm}`;
    await through(22222, `rm -f ${SAID}; tmux new-session -d '${inTmux}'; sleep 30`);
    const text = await said((all) => all.endsWith('Log in anew, and confirm it there.\n'));
    expect(text).toContain('This session may have come through the tunnel home');
    expect(text).toContain('"code":"old-session"');
    await through(22223, `tmux wait-for -S again; until grep -q confirmed: ${SAID}; do sleep 0.1; done`);
    await untilDecided();
    expect((await world.revtun(flags(22222, 60))).code).toBe(0);
    await expectBack();
  });

  test('comes back when the program is killed on the way, and cannot be confirmed then', async () => {
    const running = world.server.spawn([...login(22222), `sudo sh -c 'echo $$; exec ${line(flags(22223, 7), process.execPath)}'`]);
    let text = '';
    running.child.stdout?.on('data', (chunk: Buffer) => { text += String(chunk); });
    await waitFor(() => text.includes('write /etc/systemd/system/revtun-home.service'), { everyMs: 5, timeoutMs: 20_000, what: 'the new unit' });
    await world.device.succeed(['kill', '-KILL', text.split('\n')[0]!]);
    const { code, stdout } = await world.revtun(['confirm', '--json']);
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { error: { code: 'cut-off' } }]);
    await running.exited;
    await expectBack();
  });

  const dropIn = '/etc/systemd/system/revtun-home.service.d/fault.conf';

  test('has its whole time when it is complete, also where making it takes longer than that', async () => {
    await world.device.writeFile(dropIn, `[Service]\nExecStartPre=/bin/sh -c 'if grep -q 22223 /etc/systemd/system/revtun-home.service; then sleep 8; fi'\n`);
    await world.device.succeed(['systemctl', 'daemon-reload']);
    await through(22222, `${line(flags(22223, 5))} > ${SAID} 2>&1`);
    expect(await said((all) => /wait 5 s for somebody|Undone|time was up/.test(all))).toContain('✔ proven');
    const { stdout } = await world.revtun(['status', 'home', '--no-verify', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'up', pending: { confirm: expect.anything() } });
    await untilDecided();
    await world.device.succeed(['rm', '-r', dropIn.replace(/\/[^/]+$/, '')]);
    await world.device.succeed(['systemctl', 'daemon-reload']);
    await expectBack();
  });

  test('is undone at once when the changed tunnel does not come up', async () => {
    await world.device.writeFile(dropIn, `[Service]\nExecStartPre=/bin/sh -c '! grep -q 22223 /etc/systemd/system/revtun-home.service'\n`);
    await world.device.succeed(['systemctl', 'daemon-reload']);
    await through(22222, `${line(flags(22223, 3600))} > ${SAID} 2>&1`);
    expect(await said((all) => all.includes('Undone'))).toContain('Undone: the tunnel is as it was before.');
    await world.device.succeed(['rm', '-r', dropIn.replace(/\/[^/]+$/, '')]);
    await world.device.succeed(['systemctl', 'daemon-reload']);
    await expectBack();
  });

  test('comes back with a reboot', async () => {
    await through(22222, line(flags(22223, 3600)));
    await untilReachable(world.server, 22223);
    await waitFor(async () => (await world.device.run(['test', '-e', '/etc/revtun/.former-home/complete'])).code === 0, { what: 'the end of the change' });
    await world.device.reboot();
    await expectBack();
  });

  test('of a user alone', async () => {
    const mine = (port: number, ...more: string[]) => ['install', 'mine', '--host', 'server.test', '--remote-port', String(port), '--host-key', world.fingerprint, ...more];
    const asPi = (port: number, args: readonly string[]) => through(port, line(args, process.execPath));
    expect((await world.revtun(mine(22232), { user: 'pi' })).code).toBe(0);
    const own = world.device.snapshot(WATCHED);

    await world.device.succeed(['loginctl', 'disable-linger', 'pi']);
    expect(answerOf(await asPi(22232, mine(22233, '--json')))).toMatchObject([2, { error: { code: 'risk', hint: expect.stringContaining('loginctl enable-linger pi') } }]);
    await world.device.succeed(['loginctl', 'enable-linger', 'pi']);
    await asPi(22232, mine(22233, '--confirm-within', '5'));
    await waitFor(async () => (await world.device.run(['test', '-e', '/home/pi/.config/revtun/.former-mine'])).code !== 0, { timeoutMs: 30_000, what: 'a decision' });
    await untilReachable(world.server, 22232, 15_000);
    expect(diffSnapshots(own, world.device.snapshot(WATCHED))).toEqual(UNCHANGED);

    await asPi(22232, mine(22233));
    await untilReachable(world.server, 22233);
    expect((await asPi(22233, ['confirm'])).stdout).toContain('✔ confirmed: mine stays as it is');
    // It came through pi's tunnel, which is not root's.
    expect((await through(22233, line(['uninstall', 'home', '--dry-run']))).code).toBe(0);
    expect((await world.revtun(['uninstall', 'mine'], { user: 'pi' })).code).toBe(0);
    await expectBack();
  });
});

describe('an uninstall through the tunnel itself', () => {
  test.each([['uninstall', 'home'], ['uninstall', '--all'], ['uninstall', 'home', '--dry-run'], ['uninstall', 'home', '--server-admin', 'root@server.test']])('%s %s %s is refused', async (...args) => {
    expect(answerOf(await revtun(22222, ...args, '--json'))).toMatchObject([2, { changed: false, error: { code: 'risk', hint: 'If you have another way in, add --accept-risk=lose-ssh' } }]);
  });

  test('is done for who has another way in, also while a change is not confirmed', async () => {
    await through(22222, line(flags(22223, 3600)));
    await untilReachable(world.server, 22223);
    await through(22223, `${line(['uninstall', 'home', '--accept-risk=lose-ssh'])} > ${SAID} 2>&1`);
    expect(await said((all) => all.includes('home: '))).toContain('home: removed');
    for (const port of [22222, 22223]) expect(await firstLine(world.server, port)).toBeUndefined();
    await expectNothingWaits();
    expect((await world.device.run(['ls', '/etc/revtun'])).code).not.toBe(0);
  });
});
