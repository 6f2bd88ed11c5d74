import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { repositoryRoot } from '../lab/paths.ts';
import type { Key, Terminal } from '../lab/terminal.ts';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { CLI, firstLine, makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from './world.ts';

// Each is several installs in a row, and the machine may have other work.
jest.setTimeout(150_000);

const ADMIN = 'root@server.test';
const BOTH = ['install', '--server-admin', ADMIN];

let world: World<'gate'>;
let bare: { device: Snapshot; server: Snapshot };

beforeAll(async () => {
  world = await makeWorld({ gate: {} });
  const { device, server } = world;
  const { gate } = world.hosts;
  const key = await device.readFile('/root/.ssh/id_ed25519.pub');
  for (const [host, user] of [[server, 'root'], [gate, 'root'], [gate, 'pi']] as const) await host.authorizeKey(user, key);
  await server.sshdConfig('PermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxStartups 100\n');
  // As it is by default from OpenSSH 8.5 on: before, ssh itself notes addresses, and here what we leave is looked for.
  await device.writeFile('/etc/ssh/ssh_config.d/lab.conf', 'CheckHostIP no\n');
  await server.succeed(['useradd', '--create-home', 'guest']);
  await server.succeed(['chpasswd'], { input: 'root:toor toor\npi:correct horse\nguest:welcome\n' });
  // A first login makes the user's manager write what it always writes.
  await device.succeed(['true'], { user: 'pi' });
  await knowsServer('/root', 'root');
});
afterAll(() => world?.dispose());

beforeEach(() => {
  bare = { device: world.device.snapshot(), server: world.server.snapshot() };
});

const knowsServer = async (home: string, owner: string) => {
  const lines = [await world.server.knownHostsLine(), await world.hosts.gate.knownHostsLine()];
  await world.device.writeFile(`${home}/.ssh/known_hosts`, lines.join(''), { mode: 0o600, owner });
};
const changes = () => ({
  device: withoutBackups(diffSnapshots(bare.device, world.device.snapshot())),
  server: withoutBackups(diffSnapshots(bare.server, world.server.snapshot())),
});
const NOTHING = { device: UNCHANGED, server: UNCHANGED };
/** Nothing on either disk, and none of what waits in memory: restore scripts, temporary folders. */
const expectNothingLeft = async () => {
  expect(changes()).toEqual(NOTHING);
  for (const host of [world.device, world.server]) {
    const outside = ['-path', repositoryRoot, '-prune', '-o'];
    expect(await host.succeed(['find', '/run', '/tmp', ...outside, '-name', 'revtun[-_]*', '-not', '-name', '*.lock', '-print'])).toBe('');
  }
};
const json = async (...args: string[]) => {
  const { code, stdout, stderr } = await world.revtun([...args, '--json']);
  // Named, so that a comparison which expects none shows it.
  return { code, stderr, answer: { error: undefined, ...(JSON.parse(stdout) as object) } };
};

describe('by flags', () => {
  test('both ends are made, proven, repaired and taken away again; what else is there stays', async () => {
    const wouldDo = await world.revtun([...BOTH, '--dry-run']);
    expect([wouldDo.code, wouldDo.stdout]).toEqual([0, expect.stringMatching(/Would do:\n  on the server: [\s\S]*write \/etc\/ssh\/revtun\/65536\n  make \/etc\/revtun\/[\s\S]*start: systemctl/)]);
    await expectNothingLeft();

    const device = { device: 'device', host: 'server.test', user: 'revtun-device', port: 22, remotePort: 20000, hostKey: world.fingerprint };
    const first = await json(...BOTH);
    expect(first).toMatchObject({ code: 0, answer: { ok: true, error: undefined, changed: true, verified: { level: 'proven' }, server: device } });
    await untilReachable(world.server, 20000, 2000);
    expect(await json(...BOTH)).toMatchObject({ code: 0, answer: { ok: true, changed: false, steps: [], verified: { level: 'proven' }, server: { ...device, steps: [] } } });

    expect((await world.revtun(['server', 'remove', 'device', ADMIN, '--yes'])).code).toBe(0);
    const again = await json(...BOTH);
    expect(again).toMatchObject({ code: 0, answer: { ok: true, error: undefined, changed: true, verified: { level: 'proven' }, server: device } });

    const old = ['--host', 'pi@server.test', '--remote-port', '22300', '--key', '/root/.ssh/id_ed25519'];
    expect((await world.revtun(['install', 'old', ...old])).stdout).toContain('proven');
    expect(await json('uninstall', 'old', '--server-admin', ADMIN)).toMatchObject({ code: 2, answer: { error: { code: 'no-account' } } });
    await world.device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/tmp/other']);
    expect((await world.revtun(['server', 'add', 'other', '--key', '/tmp/other.pub', ADMIN])).code).toBe(0);

    const plan = await world.revtun(['uninstall', 'server.test', '--server-admin', ADMIN, '--dry-run']);
    expect([plan.code, plan.stdout]).toEqual([0, expect.stringMatching(/would stop: [\s\S]*would, on the server, remove the account: userdel revtun-device/)]);
    expect(await json('uninstall', 'server.test', '--server-admin', ADMIN)).toMatchObject({ code: 0, answer: { ok: true, changed: true, server: { devices: ['device'] } } });
    expect(await json('server', 'list', ADMIN)).toMatchObject({ answer: { devices: [{ name: 'other' }] } });
    expect((await world.revtun(['server', 'check', ADMIN])).code).toBe(0);
    await untilReachable(world.server, 22300, 2000);
    await world.revtun(['uninstall', '--all']);
    await world.revtun(['server', 'remove', '--all', ADMIN, '--yes']);
    await expectNothingLeft();
  });

  test("another server's device of the same name is not touched", async () => {
    const { gate } = world.hosts;
    const elsewhere = diffing(gate);
    expect((await json(...BOTH)).code).toBe(0);
    const uninstall = (...args: string[]) => json('uninstall', '--server-admin', 'root@gate.test', ...args);
    expect(await uninstall()).toMatchObject({ code: 2, answer: { error: { code: 'no-account' } } });
    expect((await world.revtun(['server', 'setup', 'root@gate.test', '--yes'])).code).toBe(0);
    expect(await uninstall()).toMatchObject({ code: 2, answer: { error: { code: 'no-account' } } });
    await world.device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/tmp/twin']);
    expect((await world.revtun(['server', 'add', 'device', '--key', '/tmp/twin.pub', 'root@gate.test'])).code).toBe(0);
    const before = { device: world.device.snapshot(), gate: gate.snapshot() };
    expect(await uninstall()).toMatchObject({ code: 2, answer: { changed: false, error: { code: 'not-this-device' } } });
    expect(await uninstall('--all', 'server.test')).toMatchObject({ code: 2, answer: { error: { code: 'usage' } } });
    expect(await uninstall('nowhere')).toMatchObject({ code: 3, answer: { error: { code: 'no-tunnel' } } });
    expect([diffSnapshots(before.device, world.device.snapshot()), diffSnapshots(before.gate, gate.snapshot())]).toEqual([UNCHANGED, UNCHANGED]);
    await untilReachable(world.server, 20000, 2000);

    await world.device.succeed(['rm', '/etc/revtun/server.test/key']);
    expect(await json('uninstall', '--server-admin', ADMIN)).toMatchObject({ code: 2, answer: { error: { code: 'not-this-device' } } });
    await world.revtun(['uninstall', '--all']);
    for (const server of [ADMIN, 'root@gate.test']) await world.revtun(['server', 'remove', '--all', server, '--yes']);
    await expectNothingLeft();
    expect(elsewhere()).toEqual(UNCHANGED);
  });

  test('an alias and a jump of ssh_config; the key must be good for the jump as well, and is not asked for twice', async () => {
    await world.device.writeFile('/root/.ssh/config', 'Host *\n  UpdateHostKeys no\nHost hop\n  HostName gate.test\n  User pi\nHost tunl\n  HostName server.test\n  User root\n  ProxyJump hop\n', { mode: 0o600 });
    bare = { ...bare, device: world.device.snapshot() };
    const tunl = ['install', '--server-admin', 'tunl', '--device', 'kiosk-7', '--remote-port', '22555', '--local-port', '2222'];
    const without = await json(...tunl);
    expect(without).toMatchObject({ code: 4, answer: { changed: false, error: { code: 'key-refused', hint: expect.stringContaining('--key') } } });
    expect(without.stderr).toContain('Undone: the server is as it was before.');
    await expectNothingLeft();

    await world.device.bannerServer(2222, 'hello from 2222');
    bare = { ...bare, device: world.device.snapshot() };
    const with_ = await json(...tunl, '--key', '/root/.ssh/id_ed25519');
    expect(with_).toMatchObject({ code: 0, answer: { name: 'tunl', verified: { level: 'proven' }, server: { device: 'kiosk-7', host: 'server.test', remotePort: 22555 } } });
    expect(await firstLine(world.server, 22555)).toBe('hello from 2222');
    // What is not said again stays: the key, and where it leads.
    expect(await json('install', '--server-admin', 'tunl', '--device', 'kiosk-7')).toMatchObject({ code: 0, answer: { changed: false, steps: [], verified: { level: 'proven' } } });
    const gone = await json('uninstall', '--server-admin', 'tunl');
    expect(gone).toMatchObject({ code: 0, answer: { tunnels: [{ left: ['/root/.ssh/id_ed25519 (your key)'] }], server: { devices: ['kiosk-7'] } } });
    await expectNothingLeft();
    await world.device.succeed(['rm', '/root/.ssh/config']);
  });

  test.each([
    ['nothing can be written here', ['mount', '--bind', '-o', 'ro', '/etc/systemd/system', '/etc/systemd/system'], ['umount', '/etc/systemd/system']],
    ['the service fails once it is connected', ['sh', '-c', 'd=/run/systemd/system/revtun-server.test.service.d; mkdir -p $d; printf "[Service]\\nExecStartPost=/bin/false\\n" > $d/bad.conf; systemctl daemon-reload'], ['sh', '-c', 'rm -r /run/systemd/system/revtun-*.d; systemctl daemon-reload']],
  ])('%s: the server is as before', async (_what, spoil, mend) => {
    await world.device.succeed(spoil);
    const { code, answer, stderr } = await json(...BOTH);
    await world.device.succeed(mend);
    expect([code, answer, stderr]).toMatchObject([1, { ok: false, changed: false }, expect.stringMatching(/on the server: write \/etc\/ssh\/revtun\/65536[\s\S]*\nUndone: the server is as it was before\./)]);
    await expectNothingLeft();
  });
});

const diffing = (host: World<never>['server']) => {
  const before = host.snapshot();
  return () => withoutBackups(diffSnapshots(before, host.snapshot()));
};

/** Words of a question, and what to do when it is on the screen. */
type Answer = readonly [question: string | RegExp, ...keys: string[]];

const terminals: Terminal[] = [];
afterEach(async () => {
  for (const terminal of terminals.splice(0)) await terminal.close();
});

const open = async (args: readonly string[] = [], { user, before = [] }: { user?: string; before?: readonly string[] } = {}) => {
  const terminal = await world.device.terminal({ argv: [...before, process.execPath, CLI, ...args], ...(user !== undefined && { user }) });
  terminals.push(terminal);
  return terminal;
};

const KEYS: readonly string[] = ['Enter', 'C-c', 'C-u', 'Down'] satisfies Key[];

async function answer(at: Terminal, answers: readonly Answer[]): Promise<void> {
  for (const [question, ...keys] of answers) {
    await at.waitForText(question, 40_000);
    for (const key of keys) await (KEYS.includes(key) ? at.press(key as Key) : at.type(key));
  }
}

const ended = async (at: Terminal) => {
  const { code } = await at.exited(90_000);
  return { code, said: await at.history() };
};

/** Pastes the command that the wizard ended with, at a terminal. */
const paste = (said: string, options: { user?: string } = {}) => {
  const command = said.split('The same without questions:\n')[1]!.replace(/\brevtun-setup /, `${process.execPath} ${CLI} `);
  return world.device.terminal({ argv: ['bash', '-c', command], ...options }).then((at) => {
    terminals.push(at);
    return at;
  });
};

const expectNarrow = (said: string) => expect(said.split('\n').filter((line) => line.length > 80)).toEqual([]);

const server = (typed: string): Answer => ['? Server', typed, 'Enter'];
const TOO: Answer = ['? Set up the server too?', 'Enter'];
const TARGET: Answer = ['? What shall be reachable?', 'Enter'];
const PORT: Answer = ['? Port on the server', 'Enter'];
const AUDIENCE: Answer = ['? Who may reach', 'Enter'];
const DEVICE: Answer = ['? Name of this device', 'Enter'];
const SCOPE: Answer = ['? What shall run it?', 'Enter'];
const DO_IT: Answer = ['? Do it?', 'Enter'];
const REST = [TARGET, PORT, AUDIENCE, DEVICE, SCOPE, DO_IT];

describe('one wizard', () => {
  test("from a bare device and a bare server, whose host key is unknown and whose root has a password, to the proof", async () => {
    const { device, server: host } = world;
    await device.succeed(['rm', '/root/.ssh/known_hosts']);
    await host.succeed(['mv', '/root/.ssh/authorized_keys', '/root/.ssh/put-aside']);
    bare = { device: device.snapshot(), server: host.snapshot() };
    const password: Answer = ["root@server.test's password:", 'toor toor', 'Enter'];
    const secondPassword: Answer = [/A second login there[\s\S]*password:/, 'toor toor', 'Enter'];
    const at = await open();
    const begin = performance.now();
    await answer(at, [server(ADMIN), TOO, ['(yes/no', 'yes', 'Enter'], password, ...REST, secondPassword]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
    expect(performance.now() - begin).toBeLessThan(60_000);
    expect(said).toContain(world.fingerprint);
    expect(said).not.toContain('toor');
    expectNarrow(said);

    const again = await paste(said);
    await answer(again, [password]);
    expect(await ended(again)).toEqual({ code: 0, said: expect.stringContaining('server.test: unchanged') });
    const gone = await open(['uninstall', '--server-admin', ADMIN]);
    await answer(gone, [password, secondPassword]);
    const farewell = await ended(gone);
    expect(farewell).toEqual({ code: 0, said: expect.stringContaining(`${ADMIN}: nothing of revtun-setup is left`) });
    await device.succeed(['rm', '/root/.ssh/known_hosts']);
    await expectNothingLeft();
    await host.succeed(['mv', '/root/.ssh/put-aside', '/root/.ssh/authorized_keys']);
    await knowsServer('/root', 'root');
  });

  test("under sudo: the person's own keys, sudo's password asked there, what is taken asked again, a port for everyone", async () => {
    const { device, server: host } = world;
    await knowsServer('/home/pi', 'pi');
    await host.writeFile('/etc/sudoers.d/pi', 'pi ALL=(ALL) ALL\n', { mode: 0o440 });
    await device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/tmp/first']);
    bare = { device: device.snapshot(), server: host.snapshot() };
    expect((await world.revtun(['server', 'setup', ADMIN, '--yes'])).code).toBe(0);
    expect((await world.revtun(['server', 'add', 'device', '--key', '/tmp/first.pub', ADMIN])).code).toBe(0);

    const at = await open([], { user: 'pi', before: ['sudo'] });
    await answer(at, [
      server('server.test'), TOO, ['? Account there', 'Enter'],
      ['? Password of pi', 'wrong', 'Enter'], ['Sorry, that is not it', 'correct horse', 'Enter'], ['has one device'], TARGET,
      ['(20001)', '22', 'Enter'], ['never root', 'C-u', '20000', 'Enter'], ['promised to the device "device"', 'C-u', '20002', 'Enter'],
      ['? Who may reach', 'Down'], ['Open to the internet', 'Enter'],
      ['(device-2)', 'device', 'Enter'], ['another device called "device"', 'C-u', 'kiosk', 'Enter'], DO_IT,
    ]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
    expect(said).not.toContain('correct horse');
    expectNarrow(said);
    expect(await firstLine(world.hosts.gate, 20002, host.v4)).toMatch(/^SSH-/);
    const again = await paste(said, { user: 'pi' });
    await answer(again, [['? Password of pi', 'correct horse', 'Enter']]);
    expect(await ended(again)).toEqual({ code: 0, said: expect.stringContaining('server.test: unchanged') });

    const gone = await open(['uninstall', '--server-admin', 'pi@server.test'], { user: 'pi', before: ['sudo'] });
    await answer(gone, [['? Password of pi', 'correct horse', 'Enter']]);
    expect(await ended(gone)).toEqual({ code: 0, said: expect.stringContaining('kiosk: removed, and no session of it is left') });
    expect((await world.revtun(['server', 'remove', '--all', ADMIN, '--yes'])).code).toBe(0);
    await expectNothingLeft();
  });

  test('an ordinary user, and an account without rights there: another one is chosen', async () => {
    await world.server.authorizeKey('root', await world.device.readFile('/home/pi/.ssh/id_ed25519.pub'));
    await knowsServer('/home/pi', 'pi');
    bare = { device: world.device.snapshot(), server: world.server.snapshot() };
    const at = await open([], { user: 'pi' });
    await answer(at, [
      server('guest@server.test'), TOO, ["guest@server.test's password:", 'welcome', 'Enter'], ['? Password of guest', 'welcome', 'Enter'],
      ['does not let guest become root'], ['? What now?', 'Down', 'Enter'], ['? Account there that is root or may use sudo: (root)', 'Enter'],
      TARGET, PORT, AUDIENCE, DEVICE, DO_IT,
    ]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
    expectNarrow(said);
    const again = await paste(said, { user: 'pi' });
    expect(await ended(again)).toEqual({ code: 0, said: expect.stringContaining('server.test: unchanged') });
    expect((await world.revtun(['uninstall', '--server-admin', ADMIN], { user: 'pi' })).code).toBe(0);
    await expectNothingLeft();
  });

  test("goes on without the server's end, where that cannot be had", async () => {
    const at = await open();
    await answer(at, [
      server('guest@server.test'), TOO, ["guest@server.test's password:", 'welcome', 'Enter'], ['? Password of guest', 'welcome', 'Enter'],
      ['? What now?', 'Down', 'Down', 'Down', 'Enter'], ['Is this the server you mean?', 'Enter'], ['? Key to log in with', 'C-c'],
    ]);
    expect((await ended(at)).code).toBe(130);
    await expectNothingLeft();
  });
});

describe('Ctrl-C', () => {
  const LOGIN: Answer = ['? Account there', 'Enter'];
  const QUESTIONS = [server('server.test'), TOO, LOGIN, ...REST];

  test('at any question leaves both as they were', async () => {
    await world.device.writeFile('/root/.ssh/config', 'Host guest.test\n  HostName server.test\n  User guest\n', { mode: 0o600 });
    const passwords = [
      [server('guest.test'), TOO, ['? Account there', 'Enter'], [/password:/]],
      [server('guest@guest.test'), TOO, [/password:/, 'welcome', 'Enter'], ['? Password of guest']],
      [server('guest@nowhere.test'), TOO, ['? What now?']],
    ] as const satisfies readonly (readonly Answer[])[];
    await world.device.writeFile('/root/.ssh/known_hosts', `${await world.server.knownHostsLine('server.test')}${await world.server.knownHostsLine('guest.test')}`, { mode: 0o600 });
    bare = { ...bare, device: world.device.snapshot() };
    const leave = async (answers: readonly Answer[]) => {
      const at = await open();
      await answer(at, answers.slice(0, -1));
      await answer(at, [[answers.at(-1)![0], 'C-c']]);
      const { code, said } = await ended(at);
      return [answers.at(-1)![0], code, /Cancelled\. Nothing was changed\./.test(said)];
    };
    const all = [...QUESTIONS.map((_, at) => QUESTIONS.slice(0, at + 1)), ...passwords];
    const left: unknown[] = [];
    for (let at = 0; at < all.length; at += 4) left.push(...(await Promise.all(all.slice(at, at + 4).map(leave))));
    expect(left).toEqual(all.map((answers) => [answers.at(-1)![0], 130, true]));
    await world.device.succeed(['rm', '/root/.ssh/config']);
    await knowsServer('/root', 'root');
    bare = { ...bare, device: world.device.snapshot() };
    await expectNothingLeft();
  });

  test.each(['on the server: write /etc/ssh/sshd_config.d/00-revtun.conf', 'on the server: write /etc/ssh/revtun/65536', 'write /etc/revtun/server.test/known_hosts', '✔ start:'])('after "%s" undoes both', async (step) => {
    const at = await open(BOTH);
    await answer(at, [[step, 'C-c']]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([130, expect.stringMatching(/Undone: the server is as it was before\.\n[\s\S]*Cancelled\. Nothing was changed\./)]);
    await expectNothingLeft();
  });
});
