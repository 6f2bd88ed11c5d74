import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { firstLine, CLI, makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from './world.ts';

let world: World<never>;
let bare: Snapshot;

beforeAll(async () => {
  world = await makeWorld();
  // Its first use makes the account tools write what they always write.
  await world.revtun(flags());
  await world.revtun(['uninstall']);
  bare = world.device.snapshot();
});
afterAll(() => world?.dispose());

function flags(...more: string[]): string[] {
  return ['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint, ...more];
}

/** Runs an install and ends it when it has said that so many steps are done; resolves to how many it said in all. */
async function endAfter(steps: number, signal: 'SIGKILL' | 'SIGINT', args: readonly string[]): Promise<number> {
  // A shell tells its own pid and becomes the program: the signal has to reach it inside the host.
  const { child, exited } = world.device.spawn(['sh', '-c', 'echo $$; exec "$@"', 'sh', process.execPath, CLI, ...args]);
  let said = '';
  let sent = false;
  const done = () => said.split('\n').filter((line) => /^✔ (?!active|proven)/.test(line)).length;
  child.stdout?.on('data', (chunk: Buffer) => {
    said += String(chunk);
    if (!sent && done() >= steps) {
      sent = true;
      const pid = said.split('\n')[0]!;
      void world.device.run(['kill', `-${signal.slice(3)}`, pid]);
    }
  });
  await exited;
  return done();
}

const FRESH_STEPS = 9;
const untouched = () => expect(withoutBackups(diffSnapshots(bare, world.device.snapshot()))).toEqual(UNCHANGED);

describe('a first install that is killed', () => {
  test.each(Array.from({ length: FRESH_STEPS }, (_, index) => index))('after %i steps is mended by the next run, and goes without a trace', async (steps) => {
    await endAfter(steps, 'SIGKILL', flags());
    for (const path of ['/etc/revtun/home/known_hosts', '/etc/revtun/home/ssh_config', '/etc/systemd/system/revtun-home.service']) {
      const { code, stdout } = await world.device.run(['tail', '-c1', path]);
      if (code === 0) expect([path, stdout]).toEqual([path, '\n']);
    }
    const again = await world.revtun(flags('--json'));
    expect([again.code, JSON.parse(again.stdout)]).toMatchObject([0, { ok: true, verified: { level: 'proven' } }]);
    expect((await world.revtun(['uninstall', '--all'])).code).toBe(0);
    untouched();
  });

  test('can also be taken away at once', async () => {
    await endAfter(4, 'SIGKILL', flags());
    expect((await world.revtun(['uninstall', 'home'])).code).toBe(0);
    untouched();
  });
});

describe('a change that is killed', () => {
  test.each([0, 1, 2, 3])('after %i steps leaves the old tunnel or the new one, and the next run makes it the new one', async (steps) => {
    expect((await world.revtun(flags())).code).toBe(0);
    await endAfter(steps, 'SIGKILL', flags().map((word) => (word === '22222' ? '22223' : word)));
    const old = await firstLine(world.server, 22222);
    if (old === undefined) await untilReachable(world.server, 22223, 15_000);
    const again = await world.revtun([...flags().map((word) => (word === '22222' ? '22223' : word)), '--json']);
    expect([again.code, JSON.parse(again.stdout)]).toMatchObject([0, { ok: true }]);
    await untilReachable(world.server, 22223, 3000);
    expect(await firstLine(world.server, 22222)).toBeUndefined();
    expect((await world.revtun(['uninstall', '--all'])).code).toBe(0);
    untouched();
  });
});

describe('Ctrl-C', () => {
  test.each([1, 3, 6, 7])('after %i steps of a first install undoes them', async (steps) => {
    await endAfter(steps, 'SIGINT', flags());
    untouched();
  });

  test('in a change brings the old tunnel back', async () => {
    expect((await world.revtun(flags())).code).toBe(0);
    const before = world.device.snapshot();
    await endAfter(1, 'SIGINT', flags().map((word) => (word === '22222' ? '22223' : word)));
    expect(diffSnapshots(before, world.device.snapshot())).toEqual(UNCHANGED);
    await untilReachable(world.server, 22222);
    expect((await world.revtun(['uninstall', '--all'])).code).toBe(0);
  });
});

describe('SIGTERM', () => {
  test('ends an install that waits for a server that does not answer, at once and untouched', async () => {
    const hanging = world.server.spawn([process.execPath, '-e', "require('net').createServer(() => {}).listen(2222, '::')"]);
    try {
      await waitFor(async () => (await world.server.run(['ss', '-Hltn', 'sport = :2222'])).stdout !== '', { what: 'the silent server' });
      const { child, exited } = world.device.spawn(['sh', '-c', 'echo $$; exec "$@"', 'sh', process.execPath, CLI,
        'install', 'home', '--host', 'pi@server.test:2222', '--remote-port', '22222', '--accept-new-host-key']);
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += String(chunk)));
      await waitFor(async () => (await world.server.run(['ss', '-Htn', 'state', 'established', 'sport = :2222'])).stdout !== '', { what: 'the connection' });
      const begin = performance.now();
      await world.device.succeed(['kill', '-TERM', said.split('\n')[0]!]);
      expect([await exited, said]).toEqual([130, expect.stringContaining('Cancelled. Nothing was changed.')]);
      expect(performance.now() - begin).toBeLessThan(3000);
      untouched();
    } finally {
      hanging.signal('SIGKILL');
      await hanging.exited;
    }
  });
});

describe('an uninstall that is killed', () => {
  test.each([1, 3, 5, 7])('after %i steps is finished by the next', async (steps) => {
    expect((await world.revtun(flags())).code).toBe(0);
    await endAfter(steps, 'SIGKILL', ['uninstall', 'home']);
    expect((await world.revtun(['uninstall', '--all'])).code).toBe(0);
    await world.revtun(['uninstall', 'home']);
    untouched();
  });

  test('right before its last step leaves a folder that the next one takes away', async () => {
    await world.device.succeed(['mkdir', '-m', '755', '/etc/revtun']);
    expect((await world.revtun(['uninstall', '--all'])).code).toBe(0);
    untouched();
  });
});
