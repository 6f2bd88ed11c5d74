import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { serverScriptAdd, serverScriptSetup } from '../../src/commands/server/script.ts';
import type { Context } from '../../src/commands/context.ts';
import { local } from '../../src/machine/local.ts';
import { makeOutput } from '../../src/output.ts';
import { SERVER } from '../../src/server/places.ts';
import type { Result } from '../lab/child.ts';
import type { Host } from '../lab/host.ts';
import { hasRelease } from '../lab/requirements.ts';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from './world.ts';

let world: World<'old'>;
let bare: Snapshot;

beforeAll(async () => {
  // Without a tree of Debian 11 its part is played by this machine's own release.
  world = await makeWorld({ old: { release: hasRelease('bullseye') ? 'bullseye' : 'host' } });
  const key = await world.device.readFile('/root/.ssh/id_ed25519.pub');
  for (const host of [world.server, world.hosts.old]) await host.authorizeKey('root', key);
  bare = world.server.snapshot();
}, 120_000);
afterAll(() => world?.dispose());

/** What a command prints. */
async function printed(command: (context: Context) => void | Promise<void>): Promise<string> {
  let text = '';
  const stream = { write: (part: string) => { text += part; return true; } } as unknown as NodeJS.WriteStream;
  const machine = { ...local, read: async () => Buffer.from(await world.device.readFile('/root/.ssh/id_ed25519.pub')) };
  await command({ machine, output: makeOutput(false, false, stream, stream), cwd: '/', who: { uid: 1000, userName: 'ann', home: '/', env: {} }, typed: [], signal: new AbortController().signal, interactive: false });
  return text;
}
const setup = (more: Partial<Parameters<typeof serverScriptSetup>[1]> = {}) =>
  printed((context) => serverScriptSetup(context, { inline: false, old: false, selinux: false, ...more }));
const add = (name: string, port: number, uid?: string) =>
  printed((context) => serverScriptAdd(context, { name, keyFile: '/root/.ssh/id_ed25519.pub', port }, false, uid));

const ssh = (host: Host, ...command: string[]) =>
  // For a moment after a reload sshd does not listen.
  ['ssh', '-o', 'StrictHostKeyChecking=accept-new', '-o', 'ServerAliveInterval=5', '-o', 'ConnectionAttempts=5', `root@${host.address}`, '--', ...command];
/** As the administrator would: from elsewhere, through a pipe, without a terminal. */
const piped = (host: Host, script: string): Promise<Result> => world.device.run(ssh(host, 'sh', '-s'), { input: script, timeoutMs: 100_000 });
const confirm = (host: Host) => world.device.succeed(ssh(host, 'sh', SERVER.restore, 'disarm'));
const exists = async (host: Host, path: string) => (await host.run(['test', '-e', path])).code === 0;

/** Runs a script of setup, and confirms the new state by the login that it asks for. */
async function setUp(host: Host, script: string): Promise<Result> {
  const running = piped(host, script);
  await Promise.race([running, waitFor(async () => (await host.run(['grep', '-qs', 'AuthorizedKeysCommand /etc/ssh/revtun-device', SERVER.dropIn, SERVER.mainConfig])).code === 0, { what: 'the new state', timeoutMs: 20_000 })]);
  // It may still be reloading.
  await waitFor(async () => exists(host, '/run/revtun-restore.d'), { what: 'the guard', timeoutMs: 5000 });
  await confirm(host);
  return running;
}

describe('server script setup', () => {
  test('that nobody confirms, from a connection that breaks, leaves the server as it was', async () => {
    const running = world.device.spawn(ssh(world.server, 'sh', '-s'));
    let said = '';
    running.child.stderr?.on('data', (part: Buffer) => { said += part.toString(); });
    running.child.stdin?.end(await setup());
    await waitFor(() => said.includes('unless root runs this in a second login'), { what: 'the question', timeoutMs: 20_000 });
    running.signal('SIGKILL');
    await running.exited;
    expect(await exists(world.server, SERVER.dropIn)).toBe(true);
    await waitFor(async () => !(await exists(world.server, SERVER.dropIn)), { what: 'the old state', timeoutMs: 75_000 });
    await waitFor(async () => (await world.server.run(['getent', 'group', SERVER.group])).code !== 0, { what: 'the rest to be undone', timeoutMs: 20_000 });
    await waitFor(() => withoutBackups(diffSnapshots(bare, world.server.snapshot())).removed.length === 0, { what: 'the rest to be undone' });
    expect(withoutBackups(diffSnapshots(bare, world.server.snapshot()))).toEqual(UNCHANGED);
    await world.device.succeed(ssh(world.server, 'true'));
  }, 120_000);

  test('on a terminal, by sudo, asks whether a second login works', async () => {
    await world.server.writeFile('/home/pi/setup.sh', await setup(), { owner: 'pi' });
    const terminal = await world.server.terminal({ argv: ['sudo', 'sh', '/home/pi/setup.sh'], user: 'pi', columns: 160 });
    try {
      await terminal.waitForText('Does the second login work? [y/N]', 20_000);
      expect((await world.server.succeed(['sshd', '-T', '-C', 'user=revtun-x,host=h,addr=192.0.2.1'])).toLowerCase()).toContain('\nforcecommand /etc/ssh/revtun-device\n');
      await terminal.type('n');
      await terminal.press('Enter');
      expect(await terminal.exited(20_000)).toEqual({ code: 1 });
    } finally {
      await terminal.close();
    }
    expect(await exists(world.server, SERVER.dropIn)).toBe(false);
    expect(await exists(world.server, SERVER.script)).toBe(false);
  }, 60_000);

  test('is done when a second login has confirmed it; another run changes nothing', async () => {
    const script = await setup();
    const { code, stderr } = await setUp(world.server, script);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/unless root runs this in a second login to this machine:\n {2}sh \/run\/revtun-restore.sh disarm\n[^]*Done\.\n$/)]);
    for (const path of [SERVER.restore, '/run/revtun-restore.d']) expect(await exists(world.server, path)).toBe(false);
    const before = world.server.snapshot();
    const again = await piped(world.server, script);
    expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/^(unchanged: .*\n)+Nothing had to change\.\n$/)]);
    expect(diffSnapshots(before, world.server.snapshot())).toEqual(UNCHANGED);
    // The program itself finds nothing to do there either.
    const { stdout } = await world.revtun(['server', 'setup', 'root@server.test', '--dry-run', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, changed: false, steps: [] });
  }, 60_000);

  test('an older sshd, and one that reads no drop-ins, get what they understand', async () => {
    const { old: host } = world.hosts;
    const isOld = hasRelease('bullseye');
    const main = (await host.readFile(SERVER.mainConfig)).replace(/^Include .*\n/m, '').trimEnd();
    await host.writeFile(SERVER.mainConfig, main);
    const unread = await piped(host, await setup({ inline: true, old: isOld }));
    expect([unread.code, unread.stderr]).toEqual([1, expect.stringMatching(/(^|\n)sshd has not read yet [^\n]*\nNothing is changed\.\n$/)]);
    await host.succeed(['systemctl', 'restart', 'ssh.service']);
    const refused = await piped(host, await setup({ old: !isOld }));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/Make this script anew with --inline\.\n[^]*Make this script anew with(out)? --old-openssh\.\nNothing is changed\.\n$/)]);
    expect(await exists(host, SERVER.script)).toBe(false);
    const script = await setup({ inline: true, old: isOld });
    const { code, stderr } = await setUp(host, script);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/\nDone\.\n$/)]);
    const now = await host.readFile(SERVER.mainConfig);
    expect(now.startsWith(`${main}\n# BEGIN revtun-setup\n`)).toBe(true);
    expect((await host.succeed(['sshd', '-T', '-C', 'user=revtun-x,host=h,addr=192.0.2.1'])).toLowerCase()).toContain('\nforcecommand /etc/ssh/revtun-device\n');
    const again = await piped(host, script);
    expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/\nNothing had to change\.\n$/)]);
    expect(await host.readFile(SERVER.mainConfig)).toBe(now);
  }, 60_000);
});

describe('server script add', () => {
  test('admits a device, which connects with what it prints', async () => {
    const script = await add('home', 22222);
    const { code, stdout, stderr } = await piped(world.server, script);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/\nDone\.\n$/)]);
    const [, command, object] = stdout.trimEnd().split('\n');
    expect(JSON.parse(object!)).toEqual({ host: 'HOST', user: 'revtun-home', port: 22, remotePort: 22222, hostKey: world.fingerprint });
    expect(command).toBe(`  revtun-setup install --host revtun-home@HOST --port 22 --remote-port 22222 --key /root/.ssh/id_ed25519 --host-key ${world.fingerprint}`);
    const installed = await world.revtun([...command!.trim().replace('HOST', 'server.test').split(' ').slice(1), '--json']);
    expect([installed.code, installed.stderr]).toEqual([0, expect.stringContaining('came back to this machine')]);
    await untilReachable(world.server, 22222);

    const again = await piped(world.server, script);
    expect([again.code, again.stdout, again.stderr]).toEqual([0, stdout, expect.stringMatching(/^(unchanged: .*\n)+Nothing had to change\.\n$/)]);
  }, 90_000);

  test.each<[string, () => Promise<string>, RegExp]>([
    ['a port that is promised, and a key that is another device\'s', () => add('other', 22222), /Port 22222 is promised to another device\.[^]*Another device has this very key\.[^]*Something listens on port 22222 here already\./],
    ['a device that is there with another port', () => add('home', 22223), /There is a device "home" here already, with another key or port\./],
    ['a device that is there with another user id', () => add('home', 22222, '70000'), /revtun-home is there otherwise than with the user id 70000/],
  ])('refuses %s', async (_, script, says) => {
    const before = world.server.snapshot();
    const { code, stdout, stderr } = await piped(world.server, await script());
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringMatching(says)]);
    expect(stderr).toMatch(/\nNothing is changed\.\n$/);
    expect(diffSnapshots(before, world.server.snapshot())).toEqual(UNCHANGED);
  });

  test('refuses a server that is not set up', async () => {
    await world.server.succeed(['mv', SERVER.script, '/root/aside']);
    const { code, stderr } = await piped(world.server, await add('third', 22224));
    await world.server.succeed(['mv', '/root/aside', SERVER.script]);
    expect([code, stderr]).toEqual([1, expect.stringContaining('This server is not set up for devices yet.')]);
  });
});
