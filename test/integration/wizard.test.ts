import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { CLI, makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from '../e2e/world.ts';
import { repositoryRoot } from '../lab/paths.ts';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import type { Key, Terminal } from '../lab/terminal.ts';
import { waitFor } from '../lab/waitFor.ts';

/** Words of a question, and what to do when it is on the screen. */
type Answer = readonly [question: string | RegExp, ...keys: string[]];

let world: World<never>;
let bare: Snapshot;
let terminal: Terminal | undefined;

beforeAll(async () => {
  world = await makeWorld();
  await world.server.sshdConfig('PasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxStartups 100\n');
  await world.server.succeed(['chpasswd'], { input: 'pi:correct horse\n' });
  await world.device.bannerServer(8080, 'hello from 8080');
  // A first login makes the user's manager write what it always writes.
  await world.device.succeed(['true'], { user: 'pi' });
  bare = world.device.snapshot();
});
afterAll(async () => {
  await terminal?.close();
  await world?.dispose();
});

beforeEach(async () => {
  await terminal?.close();
  terminal = undefined;
  await world.server.succeed(['rm', '-rf', '/home/pi/.ssh']);
  for (const home of ['/root', '/home/pi']) await world.server.authorizeKey('pi', await world.device.readFile(`${home}/.ssh/id_ed25519.pub`));
});

const KEYS: readonly string[] = ['Enter', 'Up', 'Down', 'Space', 'C-c', 'C-u'] satisfies Key[];

async function open(args: readonly string[] = [], options: { user?: string; env?: Record<string, string> } = {}): Promise<Terminal> {
  terminal = await world.device.terminal({ argv: [process.execPath, CLI, ...args], ...options });
  return terminal;
}

/** Answers questions as they come; a word that names a key is pressed, any other is typed. */
async function answer(at: Terminal, answers: readonly Answer[]): Promise<void> {
  for (const [question, ...keys] of answers) {
    await at.waitForText(question, 15_000);
    for (const key of keys) await (KEYS.includes(key) ? at.press(key as Key) : at.type(key));
  }
}

const SERVER: Answer = ['? Server', 'pi@server.test', 'Enter'];
const ALONE: Answer = ['? Set up the server too?', 'n', 'Enter'];
const HOST_KEY: Answer = ['? Is it the same?', 'y', 'Enter'];
const OLD_KEY: Answer = ['? Key to log in with', 'Enter'];
const NEW_KEY: Answer = ['? Key to log in with', 'Down', 'Enter'];
const TARGETS: Answer = ['? What shall be reachable?', 'Enter'];
const PORT: Answer = ['? Port on the server', 'Enter'];
const AUDIENCE: Answer = ['? Who may reach', 'Enter'];
const SCOPE: Answer = ['? What shall run it?', 'Enter'];
const NAME: Answer = ['? Name of the tunnel', 'C-u', 'home', 'Enter'];
const DO_IT: Answer = ['? Do it?', 'Enter'];
const RESTRICTED: Answer = ['? What may this key do', 'Enter'];
const HAPPY = [SERVER, ALONE, HOST_KEY, OLD_KEY, TARGETS, PORT, AUDIENCE, SCOPE, NAME, DO_IT];

/** The whole talk, when it has ended; with the exit code. */
async function ended(at: Terminal): Promise<{ code: number; said: string }> {
  const { code } = await at.exited(40_000);
  return { code, said: await at.history() };
}

/** Pastes the command that the wizard ended with into a shell. */
const paste = (said: string, options?: { user?: string }) =>
  world.device.run(['bash', '-c', `revtun-setup() { ${process.execPath} ${CLI} "$@"; }\n${said.split('The same without questions:\n')[1]}`], options);

const leftBehind = async () => [
  withoutBackups(diffSnapshots(bare, world.device.snapshot())),
  (await world.device.succeed(['find', '/run', '/tmp', '-path', repositoryRoot, '-prune', '-o', '-name', 'revtun[-_]*', '-not', '-name', '*.lock', '-print'])).trim(),
];

const uninstall = async (user?: string) => {
  expect((await world.revtun(['uninstall', '--all'], user === undefined ? {} : { user })).code).toBe(0);
};

describe('the way to a tunnel', () => {
  test('ends with the proof, at 80 columns, and with the command that changes nothing more', async () => {
    const at = await open();
    await answer(at, HAPPY);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
    expect(said).toContain(`ssh-ed25519 ${world.fingerprint}`);
    expect(said).toContain('ssh -J pi@server.test -p 22222 root@localhost');
    expect(said.split('\n').filter((line) => line.length > 80)).toEqual([]);
    await untilReachable(world.server, 22222);
    expect((await world.device.succeed(['systemctl', 'is-enabled', 'revtun-home.service'])).trim()).toBe('enabled');

    const again = await paste(said);
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('home: unchanged')]);

    await uninstall();
    expect(await leftBehind()).toEqual([UNCHANGED, '']);
  });

  test('a name that is wrong fails at once, with the reason, and is asked for again', async () => {
    const at = await open();
    await answer(at, [
      ['? Server', 'pi@no-such-host.invalid', 'Enter'],
      ALONE,
      ['its name does not resolve', 'pi@server.test:9', 'Enter'],
      ['nothing listens on that port', 'not a host', 'Enter'],
      ['is not a host name', 'C-u', 'pi@server.test', 'Enter'],
      HOST_KEY, ['? Key to log in with', 'C-c'],
    ]);
    expect((await ended(at)).code).toBe(130);
  });

  test('hosts of ssh_config are suggested by name', async () => {
    await world.device.writeFile('/root/.ssh/config', 'Include more/*.conf\nHost other *.example !x\n  HostName 192.0.2.1\n', { mode: 0o600 });
    await world.device.writeFile('/root/.ssh/more/home.conf', 'Host tunl\n  HostName server.test\n  User pi\n', { mode: 0o600 });
    const at = await open();
    const screen = await at.waitForText('❯ tunl');
    expect(screen).toMatch(/❯ tunl\n +other\n/);
    const pasted = await open();
    await answer(pasted, [['? Server', 'not a host\r'], ['is not a host name', 'C-u', 'tunl\r'], ALONE, ['Reaching pi@server.test'], HOST_KEY, ['? Key to log in with', 'C-c']]);
    expect((await ended(pasted)).code).toBe(130);
    await answer(at, [['? Server', 't', 'u', 'Down', 'Enter'], ALONE, ['Reaching pi@server.test'], HOST_KEY, OLD_KEY, TARGETS, PORT, AUDIENCE, SCOPE, ['? Name of the tunnel: (tunl)', 'C-c']]);
    expect((await ended(at)).code).toBe(130);
    await world.device.succeed(['rm', '-r', '/root/.ssh/config', '/root/.ssh/more']);
  });

  test('several targets, another port where the first is taken, and everyone let in', async () => {
    await world.server.bannerServer(22222, 'taken');
    await world.server.sshdConfig('GatewayPorts clientspecified\nMaxStartups 100\nPasswordAuthentication yes\n');
    const at = await open();
    await answer(at, [
      SERVER, ALONE, HOST_KEY, OLD_KEY, ['? What shall be reachable?', 'Down', 'Space', 'Enter'],
      ['leads to localhost:22', 'Enter'], ['leads to localhost:8080: (28080)', '22abc', 'Enter'], ['is not a port', 'C-u', '28080', 'Enter'],
      ['? Who may reach', 'Down'], ['Open to the internet', 'Enter'],
      ['localhost:22: (22223)', 'Enter'], SCOPE, NAME, DO_IT,
    ]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('--accept-risk=public')]);
    expect(said).toContain("-R '*:22223:localhost:22'");
    const again = await paste(said);
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('home: unchanged')]);
    await uninstall();
    await world.server.succeed(['systemctl', 'disable', '--now', '--quiet', 'lab-banner-22222.service']);
  });
});

describe("the server's host key", () => {
  test('one that has changed is refused loudly, and nothing is touched', async () => {
    await world.device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/tmp/foreign']);
    const foreign = (await world.device.readFile('/tmp/foreign.pub')).split(' ').slice(0, 2).join(' ');
    await world.device.writeFile('/root/.ssh/known_hosts', `server.test ${foreign}\n`, { mode: 0o600 });
    const at = await open();
    await answer(at, [SERVER, ALONE]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([4, expect.stringContaining('The host key of server.test has CHANGED.')]);
    expect(said).toContain(world.fingerprint);
    expect(said).toContain('/root/.ssh/known_hosts');
    await world.device.succeed(['rm', '/root/.ssh/known_hosts']);
  });

  test('one that known_hosts agrees with needs only Enter', async () => {
    await world.device.writeFile('/root/.ssh/known_hosts', await world.server.knownHostsLine('server.test'), { mode: 0o600 });
    const at = await open();
    await answer(at, [SERVER, ALONE, ['known_hosts agrees: /root/.ssh/known_hosts', 'Enter'], ['? Key to log in with', 'C-c']]);
    expect((await ended(at)).code).toBe(130);
    await world.device.succeed(['rm', '/root/.ssh/known_hosts']);
  });

  test('a no ends it', async () => {
    const at = await open();
    await answer(at, [SERVER, ALONE, ['? Is it the same?', 'Enter']]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([4, expect.stringContaining('was not confirmed')]);
  });
});

describe('a key that the server does not accept', () => {
  beforeEach(() => world.server.succeed(['rm', '-rf', '/home/pi/.ssh']));

  test('is let in by a line to paste, which admits this tunnel and nothing else', async () => {
    const at = await open();
    await answer(at, [SERVER, ALONE, HOST_KEY, NEW_KEY, ['? How shall it get there?', 'Down', 'Enter'], RESTRICTED, TARGETS, PORT, AUDIENCE]);
    await at.waitForText('? Enter when it is there');
    await at.press('Enter');
    await at.waitForText(/does not accept this key yet[\s\S]*does not accept this key yet/);
    await answer(at, [['? How shall it get there?', 'Down', 'Enter']]);
    await at.waitForText(/there\?.*\n[\s\S]*there\?.*\n[\s\S]*\? Enter when it is there/);
    const line = /^mkdir -p .*$/m.exec(await at.history())![0];
    await world.server.succeed(['sh', '-c', line], { user: 'pi' });
    await answer(at, [['? Enter when it is there', 'Enter'], ['The server accepts it.'], SCOPE, NAME, DO_IT]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
    expect(await world.server.readFile('/home/pi/.ssh/authorized_keys')).toMatch(
      /^restrict,port-forwarding,command="\/bin\/false",permitlisten="127\.0\.0\.1:22222",permitopen="127\.0\.0\.1:22222" ssh-ed25519 \S+ revtun-server\.test@device\n$/);
    expect(await world.device.succeed(['stat', '-c', '%a %U', '/etc/revtun/home/key'])).toBe('600 root\n');
    const again = await paste(said);
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('home: unchanged')]);
    await uninstall();
    expect(await leftBehind()).toEqual([UNCHANGED, '']);
  });

  test('is let in by a login with a password, which overwrites nothing', async () => {
    await world.server.succeed(['sh', '-c', 'umask 077; mkdir .ssh; printf "# mine, without an end of line" > .ssh/authorized_keys'], { user: 'pi' });
    const at = await open();
    await answer(at, [
      SERVER, ALONE, HOST_KEY, NEW_KEY, ['? How shall it get there?', 'Enter'], RESTRICTED, TARGETS, PORT, AUDIENCE,
      ["pi@server.test's password:", 'wrong', 'Enter'], ['Permission denied, please try again.', 'correct horse', 'Enter'],
      ['The server accepts it.'], SCOPE, NAME, DO_IT,
    ]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
    expect(await world.server.readFile('/home/pi/.ssh/authorized_keys')).toMatch(/^# mine, without an end of line\nrestrict,port-forwarding,command="\/bin\/false",permitlisten="127[^\n]+\n$/);
    expect(await world.server.succeed(['stat', '-c', '%a %U', '/home/pi/.ssh/authorized_keys', '/home/pi/.ssh'])).toBe('600 pi\n700 pi\n');
    await uninstall();
  });

  test('is let in by a login with another key of the person, without a password', async () => {
    await world.server.authorizeKey('pi', await world.device.readFile('/root/.ssh/id_ed25519.pub'));
    const at = await open();
    await answer(at, [
      SERVER, ALONE, HOST_KEY, NEW_KEY, ['? How shall it get there?', 'Enter'], ['? What may this key do', 'Down', 'Enter'],
      ['The server accepts it.'], ['? What shall be reachable?', 'C-c'],
    ]);
    expect((await ended(at)).code).toBe(130);
    expect((await world.server.readFile('/home/pi/.ssh/authorized_keys')).split('\n')).toEqual([
      expect.stringMatching(/^ssh-ed25519 /), expect.stringMatching(/^ssh-ed25519 \S+ revtun-server\.test@device$/), '',
    ]);
  });

  test('a port that turns out taken makes the line follow to the next', async () => {
    await world.server.bannerServer(22222, 'taken');
    const password: Answer = ["pi@server.test's password:", 'correct horse', 'Enter'];
    const at = await open();
    await answer(at, [
      SERVER, ALONE, HOST_KEY, NEW_KEY, ['? How shall it get there?', 'Enter'], RESTRICTED, TARGETS, PORT, AUDIENCE, password,
      ['localhost:22: (22223)', 'Enter'], [/password:[\s\S]*password:/, 'correct horse', 'Enter'], SCOPE, NAME, ['? Do it?', 'n', 'Enter'],
    ]);
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([130, expect.stringContaining("The key's line stays on pi@server.test")]);
    expect(await world.server.readFile('/home/pi/.ssh/authorized_keys')).toMatch(/^restrict,port-forwarding,command="\/bin\/false",permitlisten="127\.0\.0\.1:22223"[^\n]+\n$/);
    expect(await leftBehind()).toEqual([UNCHANGED, '']);
    await world.server.succeed(['systemctl', 'disable', '--now', '--quiet', 'lab-banner-22222.service']);
  });
});

describe('Ctrl-C', () => {
  const REFUSED: Answer = ['? How shall it get there?', 'Enter'];
  const LOGIN: Answer = ["pi@server.test's password:"];
  const REFUSAL = [SERVER, ALONE, HOST_KEY, NEW_KEY, REFUSED, RESTRICTED, TARGETS, PORT, AUDIENCE, LOGIN];
  const asked = [...HAPPY.map((_, at) => HAPPY.slice(0, at + 1)), ...REFUSAL.map((_, at) => REFUSAL.slice(0, at + 1)).slice(3)];

  test.each(asked.map((answers) => [String(answers.at(-1)![0]), answers] as const))('at "%s" leaves the machine untouched', async (question, answers) => {
    if (answers.includes(NEW_KEY)) await world.server.succeed(['rm', '-rf', '/home/pi/.ssh']);
    const at = await open();
    await answer(at, answers.slice(0, -1));
    await at.waitForText(question, 15_000);
    await at.press('C-c');
    const { code, said } = await ended(at);
    expect([code, said]).toEqual([130, expect.stringContaining('Cancelled. Nothing was changed.')]);
    expect(await leftBehind()).toEqual([UNCHANGED, '']);
  });
});

test('Ctrl-D is a way to leave, too', async () => {
  const at = await open();
  await at.waitForText('? Server');
  await at.press('C-d');
  const { code, said } = await ended(at);
  expect([code, said]).toEqual([130, expect.stringContaining('Cancelled. Nothing was changed.')]);
  expect(await leftBehind()).toEqual([UNCHANGED, '']);
});

test('a terminal that is closed leaves nothing behind', async () => {
  await world.server.succeed(['rm', '-rf', '/home/pi/.ssh']);
  const at = await open();
  await answer(at, [SERVER, ALONE, HOST_KEY, NEW_KEY, ['? How shall it get there?']]);
  await at.close();
  await waitFor(async () => (await world.device.run(['pgrep', '-f', CLI])).code !== 0, { what: 'the wizard to end' });
  expect(await leftBehind()).toEqual([UNCHANGED, '']);
});

describe('flags', () => {
  test('what they say is not asked', async () => {
    const at = await open([
      'install', 'home', '--wizard', '--host', 'pi@server.test', '--host-key', world.fingerprint, '--key', '/root/.ssh/id_ed25519',
      '--remote-port', '22300', '--local-port', '22', '--bind', '127.0.0.1', '--scope', 'system',
    ]);
    await at.waitForText('? Do it?', 15_000);
    expect((await at.history()).match(/^[✔?] /gm)).toEqual(['? ']);
    await at.press('C-c');
    expect((await ended(at)).code).toBe(130);
  });

  test('what they leave open is', async () => {
    const at = await open(['--wizard', '--host', 'pi@server.test', '--remote-port', '22300']);
    await answer(at, [HOST_KEY, OLD_KEY, TARGETS, AUDIENCE, SCOPE, ['? Name of the tunnel', 'C-c']]);
    expect((await at.history()).match(/^[✔?] .*?[:?]/gm)).not.toContain('✔ Port on the server that leads to localhost:');
    expect((await ended(at)).code).toBe(130);
  });

  test('a risk among them is said out loud before anything is tried', async () => {
    const at = await open(['--wizard', '--host', 'pi@server.test', '--host-key', world.fingerprint, '-R', '0.0.0.0:22300:localhost:22']);
    await answer(at, [OLD_KEY, ['is meant to be reached by everyone', 'Enter']]);
    expect((await ended(at)).code).toBe(130);
  });

  test('a key with a passphrase cannot be chosen, and says why', async () => {
    await world.device.succeed(['ssh-keygen', '-q', '-t', 'rsa', '-N', 'secret', '-f', '/root/.ssh/id_rsa']);
    const at = await open(['--wizard', '--host', 'pi@server.test', '--host-key', world.fingerprint]);
    expect(await at.waitForText('? Key to log in with')).toMatch(/~\/\.ssh\/id_rsa +rsa +\(has a passphrase/);
    await answer(at, [['? Key to log in with', 'C-c']]);
    expect((await ended(at)).code).toBe(130);
    await world.device.succeed(['rm', '/root/.ssh/id_rsa', '/root/.ssh/id_rsa.pub']);
  });
});

test('with NO_COLOR there is no colour in a single byte', async () => {
  const env = { NO_COLOR: '1' };
  terminal = await world.device.terminal({ argv: ['script', '--quiet', '--return', '--command', `${process.execPath} ${CLI}`, '/tmp/bytes'], env });
  await answer(terminal, [SERVER, ALONE, HOST_KEY, OLD_KEY, TARGETS, PORT, AUDIENCE, SCOPE, NAME, ['? Do it?', 'C-c']]);
  expect((await ended(terminal)).code).toBe(130);
  const bytes = await world.device.readFile('/tmp/bytes');
  expect(bytes).toContain('Key to log in with');
  // Colours and weights are what ends in m; the cursor has to move all the same.
  expect(bytes.match(/\u001B\[[\d;]*m/g)).toBeNull();
});

test('an ordinary user gets a tunnel of their own, and is told about sudo', async () => {
  const at = await open([], { user: 'pi' });
  await answer(at, HAPPY.filter((one) => one !== SCOPE));
  const { code, said } = await ended(at);
  expect([code, said]).toEqual([0, expect.stringContaining('✔ proven:')]);
  expect(said).toMatch(/type\s+instead:\s+sudo \S/);
  expect(said.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect((await world.device.succeed(['systemctl', '--user', 'is-active', 'revtun-home.service'], { user: 'pi' })).trim()).toBe('active');
  const again = await paste(said, { user: 'pi' });
  expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('home: unchanged')]);
  await uninstall('pi');
});
