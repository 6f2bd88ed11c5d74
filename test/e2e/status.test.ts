import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../lab/waitFor.ts';
import { CLI, makeWorld, untilReachable, type World } from './world.ts';

let world: World<never>;

beforeAll(async () => {
  world = await makeWorld();
  expect(await install('home', '22222')).toMatchObject({ code: 0 });
});
afterAll(() => world?.dispose());
beforeEach(() => untilReachable(world.server, 22222));

const install = (name: string, port: string, ...more: string[]) =>
  world.revtun(['install', name, '--host', 'pi@server.test', '--remote-port', port, '--host-key', world.fingerprint, ...more]);

/** sshd is stopped; with the sessions it has, or without a word to them. */
async function stopServer({ withSessions }: { withSessions: boolean }): Promise<void> {
  await world.server.succeed(['systemctl', 'stop', 'ssh.service']);
  if (withSessions) await world.server.succeed(['pkill', '-KILL', '-u', 'pi', 'sshd']);
}
const startServer = async () => {
  // Tests stop it more often than systemd lets a service start.
  await world.server.succeed(['systemctl', 'reset-failed', 'ssh.service']);
  await world.server.succeed(['systemctl', 'start', 'ssh.service']);
};

interface Answer {
  readonly ok: boolean;
  readonly state: string;
  readonly verified: { readonly level: string; readonly forwards: readonly { readonly finding: string }[] } | null;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Runs `status --wait`, and measures the seconds that it takes. */
async function wait(name: string, seconds: number, ...more: string[]) {
  const began = performance.now();
  const { code, stdout, stderr } = await world.revtun(['status', name, '--wait', String(seconds), '--json', ...more]);
  return { code, stderr, answer: JSON.parse(stdout) as Answer, took: (performance.now() - began) / 1000 };
}

describe('status --wait', () => {
  test('ends at once with a tunnel that is proven, and says what status says', async () => {
    const { code, answer, took } = await wait('home', 60);
    expect([code, answer]).toMatchObject([0, { ok: true, state: 'up', verified: { level: 'proven' } }]);
    expect(took).toBeLessThan(20);
    const [waited, plain] = [await world.revtun(['status', '--wait', '60']), await world.revtun(['status'])];
    const withoutTimes = (text: string) => text.split('\n').filter((line) => !/ is up/.test(line));
    expect(withoutTimes(waited.stdout)).toEqual(withoutTimes(plain.stdout));
  });

  test('outlasts a server whose sshd comes back, and proves the new connection', async () => {
    await stopServer({ withSessions: true });
    const waiting = wait('home', 40);
    await sleep(2000);
    await startServer();
    const { code, answer, took } = await waiting;
    expect([code, answer]).toMatchObject([0, { ok: true, state: 'up', verified: { level: 'proven' } }]);
    expect(took).toBeGreaterThan(2);
  });

  test('goes on where the tunnel stands and only the proof is not let in', async () => {
    await stopServer({ withSessions: false });
    const [inVain, waiting] = [wait('home', 8), wait('home', 60)];
    const turnedAway = await inVain.finally(startServer);
    expect(turnedAway).toMatchObject({ code: 1, answer: { ok: false, state: 'up', error: { code: 'not-proven-in-time', message: expect.stringContaining('did not take the second login') } } });
    expect(await waiting).toMatchObject({ code: 0, answer: { ok: true, verified: { level: 'proven' } } });
  });

  test('runs out where nothing comes, and tells what it saw last', async () => {
    await world.device.succeed(['systemctl', 'stop', 'revtun-home.service']);
    const { code, answer, stderr, took } = await wait('home', 2);
    expect([code, answer, stderr]).toMatchObject([
      1, { ok: false, state: 'stopped', verified: null, error: { code: 'not-proven-in-time', message: expect.stringMatching(/^home was not proven within 2 s: home is stopped/) } },
      expect.stringContaining('revtun-setup: home was not proven within 2 s'),
    ]);
    expect(took).toBeGreaterThanOrEqual(2);
    expect(took).toBeLessThan(20);
    await world.device.succeed(['systemctl', 'start', 'revtun-home.service']);
  });

  test('waits for what the tunnel leads to as well', async () => {
    expect((await install('web', '22223', '--local-port', '7777')).code).toBe(0);
    const waiting = wait('web', 40);
    await sleep(1000);
    await world.device.bannerServer(7777, 'here now');
    const { code, answer, stderr } = await waiting;
    expect([code, answer, stderr]).toMatchObject([0, { verified: { level: 'proven' } }, expect.stringContaining('nothing-here')]);
    await world.revtun(['uninstall', 'web']);
  });

  test('does not wait for a proof that cannot come, unless the word of the server is enough', async () => {
    const keys = await world.server.readFile('/home/pi/.ssh/authorized_keys');
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', keys.replace(/^ssh-/gm, 'permitopen="localhost:1" ssh-'), { owner: 'pi', mode: 0o600 });
    const { code, answer, took } = await wait('home', 60);
    expect([code, answer]).toMatchObject([1, { ok: false, state: 'up', error: { code: 'not-provable', message: expect.stringContaining('permitopen') } }]);
    expect(took).toBeLessThan(30);
    expect(await wait('home', 60, '--no-verify')).toMatchObject({ code: 0, answer: { ok: true, state: 'up', verified: null } });
    const asPi = await world.revtun(['status', 'home', '--wait', '60', '--json'], { user: 'pi' });
    expect([asPi.code, JSON.parse(asPi.stdout)]).toMatchObject([1, { error: { code: 'not-provable', message: expect.stringContaining('sudo') } }]);
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', keys, { owner: 'pi', mode: 0o600 });
  });

  test('does not wait for a tunnel that is not there', async () => {
    expect(await wait('nope', 60)).toMatchObject({ code: 3, answer: { error: { code: 'no-tunnel' } }, took: expect.any(Number) });
  });
});

describe('status --watch on a terminal', () => {
  const command = [process.execPath, CLI, 'status', 'home', '--watch'].join(' ');

  test('shows in its place that the tunnel goes down and comes back, and gives the terminal back', async () => {
    const terminal = await world.device.terminal({ argv: ['bash', '--norc'], columns: 70 });
    try {
      await terminal.type(`PS1='ended $? '; clear; echo before; ${command}`);
      await terminal.press('Enter');
      await terminal.waitForText(/home is up[^]*proven: [^]* ago\)/);
      await stopServer({ withSessions: true });
      expect(await terminal.waitForText(/home is connecting for/)).not.toMatch(/before|✔ proven/);
      await startServer();
      const screen = await terminal.waitForText(/home is up for[^]*proven: [^]* ago\)[^]*it was down/, 20_000);
      expect(screen.match(/home is (up|connecting) for/g)).toHaveLength(1);
      expect(screen.match(/^\S+Z home is (up|connecting)/gm)!.length).toBeGreaterThanOrEqual(3);

      await terminal.resize(40, 12);
      await waitFor(async () => (await terminal.screen()).split('\n').every((line) => line.length <= 40));
      expect(await terminal.screen()).toContain('home is up');

      await terminal.press('C-z');
      expect(await terminal.waitForText(/Stopped/)).toContain('before');
      await terminal.type('fg');
      await terminal.press('Enter');
      await waitFor(async () => (await terminal.screen()).startsWith('✔ home is up'));

      await terminal.press('C-c');
      await terminal.waitForText('ended 0');
      const all = await terminal.history();
      expect(all).toMatch(/before[^]*home is up[^]*ended 0$/);
      // What it was like in between is gone.
      expect(all.match(/home is (up|connecting) for/g)).toHaveLength(1);
    } finally {
      await terminal.close();
    }
  });

  test('ends when the terminal is closed', async () => {
    const { child, signal } = world.device.spawn(['script', '--quiet', '--command', command, '/dev/null']);
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => { said += String(chunk); });
    await waitFor(async () => said.includes('home is up'));
    const isThere = async () => (await world.device.run(['pgrep', '-f', '--', `^${command}`])).code === 0;
    expect(await isThere()).toBe(true);
    await world.device.succeed(['pkill', '-KILL', '-x', 'script']);
    await waitFor(async () => !(await isThere()), { what: 'it to end' });
    signal('SIGKILL');
  });
});

describe('status --watch elsewhere', () => {
  test('prints a line for each change, with its time', async () => {
    const { child, exited } = world.device.spawn(['sh', '-c', 'echo $$; exec "$@"', 'sh', process.execPath, CLI, 'status', '--watch']);
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => { said += String(chunk); });
    const untilSaid = (text: RegExp) => waitFor(async () => text.test(said), { timeoutMs: 20_000, what: `${text} in:\n${said}` });
    await untilSaid(/proven/);
    await world.device.succeed(['systemctl', 'stop', 'revtun-home.service']);
    await untilSaid(/stopped/);
    await world.device.succeed(['systemctl', 'start', 'revtun-home.service']);
    await untilSaid(/stopped[^]*proven/);
    await world.device.succeed(['kill', '-INT', said.split('\n')[0]!]);
    expect(await exited).toBe(0);
    const lines = said.trim().split('\n').slice(1);
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (home is (up|stopped|connecting)|proven: )/);
    expect(lines.filter((line) => /home is up|proven/.test(line))).toHaveLength(4);
    expect(said).not.toContain('\u001B');
  });

  test('ends with the tunnel, and with whoever reads it', async () => {
    expect((await install('short', '22224')).code).toBe(0);
    const { child, exited } = world.device.spawn([process.execPath, CLI, 'status', 'short', '--watch']);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => { said += String(chunk); });
    await waitFor(async () => said.includes('proven'));
    const read = await world.device.run(['sh', '-c', '"$@" | head -n 1', 'sh', process.execPath, CLI, 'status', 'short', '--watch']);
    expect(read.stdout).toMatch(/^\S+Z short is up: the server has confirmed every forward\n$/);
    await world.revtun(['uninstall', 'short']);
    expect([await exited, said]).toEqual([3, expect.stringContaining('There is no tunnel "short"')]);
  });
});
