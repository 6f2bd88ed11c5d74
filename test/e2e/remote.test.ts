import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { repositoryRoot } from '../lab/paths.ts';
import type { Terminal } from '../lab/terminal.ts';
import { makeWorld, type World } from './world.ts';

/** Below the repository, which every host of the lab sees. */
const DRIVER = join(repositoryRoot, 'node_modules/.cache/admin-driver', `${process.pid}.mjs`);

/** Opens the server named by its words, and says who it is there and what went wrong. */
const DRIVER_TEXT = `
import { createInterface } from 'node:readline';
import { openAdmin } from './src/checks/adminLogin.ts';
import { ExpectedError } from './src/errors.ts';
import { local, whoAmI } from './src/machine/local.ts';
import { parseDestination } from './src/tunnel/destination.ts';
const [where, ...argv] = process.argv.slice(2);
const stopping = new AbortController();
process.on('SIGINT', () => stopping.abort());
const askPassword = (prompt) => new Promise((resolve) => {
  const lines = createInterface({ input: process.stdin });
  process.stderr.write(prompt + ': ');
  lines.once('line', (line) => { lines.close(); resolve(line); });
});
try {
  const { machine, name } = await openAdmin({ machine: local, who: whoAmI(), interactive: process.stdin.isTTY === true, signal: stopping.signal, askPassword, tell: (words) => process.stderr.write(words) }, parseDestination(where));
  await machine.write('/etc/revtun-probe', 'probe\\n', 0o640);
  const said = await machine.run(['sh', '-c', 'id -u; cat; cat /etc/revtun-probe'], { input: 'input\\n' });
  await machine.remove('/etc/revtun-probe');
  const unlock = await machine.lock('/run/revtun-probe.lock', () => undefined);
  const second = await machine.run(['flock', '--nonblock', '/run/revtun-probe.lock', 'true']);
  await unlock();
  const ended = await machine.run(['sleep', '4713'], { timeoutMs: 500 });
  const left = await machine.run(['sh', '-c', 'for p in /proc/[0-9]*/cmdline; do tr "\\\\0" " " < $p; echo; done 2> /dev/null | grep -c "^sleep 4713"']);
  await machine.reconnect();
  console.log('ANSWER ' + JSON.stringify([name, said.code, said.stdout, said.stderr, second.code, ended.timedOut, left.stdout]));
  if (argv.length > 0) console.log('ATTACHED ' + await machine.runAttached(argv));
  await machine.close();
} catch (error) {
  console.log('ANSWER ' + (error instanceof ExpectedError ? JSON.stringify([error.id, error.exitCode, error.message]) : error.stack));
}
`;

const GOOD = (name: string) => [name, 0, '0\ninput\nprobe\n', '', 1, true, '0\n'];

describe.each(['host', 'bullseye', 'trixie'] as const)('a server with the release %s', (release) => {
  let world: World<never>;

  beforeAll(async () => {
    mkdirSync(join(DRIVER, '..'), { recursive: true });
    await build({
      stdin: { contents: DRIVER_TEXT, resolveDir: repositoryRoot, loader: 'ts' }, outfile: DRIVER, bundle: true, platform: 'node', format: 'esm', target: 'node20', logLevel: 'error',
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    });
    world = await makeWorld({}, { server: release });
    const { device, server } = world;
    await server.authorizeKey('root', await device.readFile('/root/.ssh/id_ed25519.pub'));
    await server.succeed(['sh', '-c', 'echo pi:sesame | chpasswd']);
    for (const home of ['/root', '/home/pi']) await device.writeFile(`${home}/.ssh/known_hosts`, await server.knownHostsLine('server.test'));
  });
  afterAll(async () => {
    rmSync(DRIVER, { force: true });
    await world?.dispose();
  });

  const withoutTerminal = async (where: string, user?: string): Promise<unknown> => {
    const { stdout, stderr } = await world.device.run([process.execPath, DRIVER, where], { timeoutMs: 60_000, ...(user !== undefined && { user }) });
    return answerIn(stdout + stderr);
  };
  const answerIn = (text: string): unknown => {
    const line = text.split('\n').find((each) => each.startsWith('ANSWER '))?.slice(7) ?? '';
    try {
      return JSON.parse(line);
    } catch {
      return text;
    }
  };
  const inTerminal = (where: string, ...argv: string[]) => world.device.terminal({ argv: [process.execPath, DRIVER, where, ...argv], columns: 160 });
  const answer = async (terminal: Terminal): Promise<unknown> => {
    await terminal.exited(60_000);
    const text = await terminal.history();
    await terminal.close();
    return answerIn(text);
  };
  const sudoers = (line: string) => world.server.writeFile('/etc/sudoers.d/pi', `${line}\n`, { mode: 0o440 });

  test('as root, by sudo without a password, and with the keys of the person who called sudo here', async () => {
    expect(await withoutTerminal('root@server.test')).toEqual(GOOD('root@server.test'));
    expect(await withoutTerminal('pi@server.test')).toEqual(GOOD('pi@server.test'));
    await world.device.succeed(['mv', '/root/.ssh/id_ed25519', '/root/.ssh/away']);
    const { stdout, stderr } = await world.device.run(['sudo', process.execPath, DRIVER, 'pi@server.test'], { user: 'pi', timeoutMs: 60_000 });
    await world.device.succeed(['mv', '/root/.ssh/away', '/root/.ssh/id_ed25519']);
    expect(answerIn(stdout + stderr)).toEqual(GOOD('pi@server.test'));
    expect((await world.device.succeed(['sh', '-c', 'ls /run | grep ^revtun- || :'])).trim()).toBe('');
  }, 120_000);

  test.each(['', 'Defaults use_pty\n', 'Defaults !use_pty\n'])('with sudo\'s password (%j), the wrong one first; nothing of it is left to be read', async (more) => {
    await sudoers(`${more}pi ALL=(ALL) ALL`);
    expect(await withoutTerminal('pi@server.test')).toEqual(['sudo-password', 4, expect.any(String)]);
    const terminal = await inTerminal('pi@server.test', 'sh', '-c', 'tty; exit 7');
    await terminal.waitForText('Password of pi on pi@server.test, for sudo:', 30_000);
    await terminal.type('wrong');
    await terminal.press('Enter');
    await terminal.waitForText('Sorry, that is not it', 30_000);
    await terminal.type('sesame');
    await terminal.press('Enter');
    await terminal.waitForText(/\[sudo\] password for pi/, 60_000);
    await terminal.type('sesame');
    await terminal.press('Enter');
    await terminal.waitForText('ATTACHED 7', 30_000);
    expect(await terminal.screen()).toMatch(/\/dev\/pts\/\d+/);
    expect(await answer(terminal)).toEqual(GOOD('pi@server.test'));
    expect((await world.server.run(['sh', '-c', 'journalctl -o cat | grep -F sesame'])).stdout).toBe('');
  }, 120_000);

  test('three wrong passwords, no right to sudo, and no sudo at all are told apart', async () => {
    await sudoers('pi ALL=(ALL) ALL');
    const terminal = await inTerminal('pi@server.test');
    for (const attempt of [1, 2, 3]) {
      await terminal.waitForText(new RegExp(`(for sudo:[^]*){${attempt}}`), 30_000);
      await terminal.type(`wrong${attempt}`);
      await terminal.press('Enter');
    }
    expect(await answer(terminal)).toEqual(['sudo-refused', 4, expect.any(String)]);
    await world.server.succeed(['rm', '/etc/sudoers.d/pi']);
    const other = await inTerminal('pi@server.test');
    await other.waitForText('for sudo:', 30_000);
    await other.type('sesame');
    await other.press('Enter');
    expect(await answer(other)).toMatchObject(['sudo-refused', 1, expect.stringMatching(/not in the sudoers|not allowed|may not run/)]);
    await world.server.succeed(['mv', '/usr/bin/sudo', '/usr/bin/sudo.away']);
    expect(await withoutTerminal('pi@server.test')).toEqual(['no-root-there', 1, expect.any(String)]);
    await world.server.succeed(['mv', '/usr/bin/sudo.away', '/usr/bin/sudo']);
  }, 120_000);

  test('an unknown host key is asked about on a terminal, and refused without one; so is a password of the login', async () => {
    await world.device.succeed(['rm', '/root/.ssh/known_hosts']);
    await world.server.writeFile('/root/.ssh/authorized_keys', '', { mode: 0o600 });
    await sudoers('pi ALL=(ALL) NOPASSWD: ALL');
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', '', { mode: 0o600, owner: 'pi' });
    expect(await withoutTerminal('pi@server.test')).toEqual(['host-key-unknown', 4, expect.any(String)]);
    const terminal = await inTerminal('pi@server.test');
    await terminal.waitForText('(yes/no/[fingerprint])?', 30_000);
    await terminal.type('yes');
    await terminal.press('Enter');
    for (const times of [1, 2]) {
      await terminal.waitForText(new RegExp(String.raw`(password:[^]*){${times}}`), 30_000);
      await terminal.type('sesame');
      await terminal.press('Enter');
    }
    expect(await answer(terminal)).toEqual(GOOD('pi@server.test'));
    expect(await withoutTerminal('pi@server.test')).toEqual(['login-refused', 4, expect.any(String)]);
  }, 120_000);

  test('Ctrl-C while ssh asks leaves nothing running', async () => {
    const terminal = await inTerminal('pi@server.test');
    await terminal.waitForText('password:', 30_000);
    await terminal.press('C-c');
    expect(await answer(terminal)).toEqual(['cancelled', 130, expect.any(String)]);
    expect((await world.device.run(['pgrep', '-x', 'ssh'])).code).toBe(1);
    expect((await world.device.succeed(['sh', '-c', 'ls /run | grep ^revtun- || :'])).trim()).toBe('');
  }, 60_000);
});
