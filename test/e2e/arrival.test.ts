import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../lab/waitFor.ts';
import { accountOf } from '../../src/server/device.ts';
import { addDevice, authorizeDevice, type DeviceAccount, makeServerEnd, revokeDevice } from './serverEnd.ts';
import { makeWorld, releaseOf, untilReachable, type World } from './world.ts';

/**
 * A server's end of ours on OpenSSH 10.0, whose PerSourcePenalties count all the while: beside the tunnel that the
 * faults are made for, another one of the same device goes on knocking with a key that was revoked.
 */
let world: World<never>;
let revokedAt: number;
let home: DeviceAccount;
let gone: DeviceAccount;

beforeAll(async () => {
  world = await makeWorld({}, { server: releaseOf('server', 'trixie') });
  const { server, device } = world;
  const publicKey = await device.readFile('/root/.ssh/id_ed25519.pub');
  [home, gone] = [{ name: 'home', uid: 65536, port: 22222, publicKey }, { name: 'gone', uid: 65537, port: 22223, publicKey }];
  await makeServerEnd(server);
  for (const account of [home, gone]) {
    await addDevice(server, account);
    expect(await install(account)).toMatchObject({ code: 0, verified: { level: 'proven' } });
  }
  await revokeDevice(server, gone);
  revokedAt = Date.now();
  await server.succeed(['pkill', '-KILL', '-u', accountOf(gone.name)]);
});
afterAll(() => world?.dispose());


async function install(account: DeviceAccount, ...more: string[]) {
  const { code, stdout, stderr } = await world.revtun([
    'install', account.name, '--json', '--host', `${accountOf(account.name)}@server.test`, '--remote-port', String(account.port), '--host-key', world.fingerprint, ...more,
  ]);
  return { code, stderr, ...(JSON.parse(stdout) as { changed: boolean; verified?: { level: string } }) };
}

const runningSsh = async () => (await world.device.run(['pgrep', '-u', 'revtun', '-f', `fNTy .*${home.port}`])).stdout.trim();

/**
 * Milliseconds until the tunnel works again. The port is not dialled before the service says that it is up: what a
 * dead session is sent makes a server notice, and this tunnel is to be an idle one.
 */
async function untilBack(former: string): Promise<number> {
  const begin = performance.now();
  await waitFor(async () => {
    const [state, ssh] = [await world.device.run(['systemctl', 'is-active', 'revtun-home.service']), await runningSsh()];
    return state.stdout.trim() === 'active' && ssh !== '' && ssh !== former;
  }, { timeoutMs: 30_000, what: 'the service to be up again' });
  await untilReachable(world.server, home.port, 2000);
  return performance.now() - begin;
}

describe('an idle tunnel', () => {
  test('is back at once when its ssh is killed', async () => {
    const former = await runningSsh();
    await world.device.succeed(['kill', '-KILL', former]);
    expect(await untilBack(former)).toBeLessThan(4000);
  });

  test('is back at once when the server ends its session', async () => {
    const former = await runningSsh();
    await world.server.succeed(['pkill', '-KILL', '-u', accountOf(home.name)]);
    expect(await untilBack(former)).toBeLessThan(4000);
  });

  test('has its port again with the boot that follows a power cut', async () => {
    const holder = async () => /pid=(\d+)/.exec(await world.server.succeed(['ss', '-Hltnp', `sport = :${home.port}`]))?.[1];
    // Nothing may be under way: a packet that the server has to send again would meet the new boot, and end the session.
    await sleep(1000);
    const dead = await holder();
    await world.device.powerCut();
    await world.device.powerOn();
    expect(await untilBack('')).toBeLessThan(5000);
    expect(await holder()).not.toBe(dead);
    expect(await world.device.succeed(['journalctl', '-b', '-u', 'revtun-home.service', '-o', 'cat'])).toMatch(/^released [1-9]/m);
  });

  test('is back within 5 s of a black hole that outlasted it', async () => {
    const former = await runningSsh();
    await world.device.blackhole();
    await waitFor(async () => (await runningSsh()) !== former, { timeoutMs: 20_000, what: 'the dead link to be noticed' });
    await sleep(3000);
    await world.device.heal();
    expect(await untilBack(former)).toBeLessThan(5000);
  });
});

describe('an install', () => {
  test('that is run again changes nothing, and ends nobody', async () => {
    const former = await runningSsh();
    expect(await install(home)).toMatchObject({ code: 0, changed: false, verified: { level: 'proven' } });
    expect(await runningSsh()).toBe(former);
  });

  test('does without a release when that is said, and is told so by its record', async () => {
    expect(await install(home, '--no-release')).toMatchObject({ code: 0, changed: true });
    const unit = await world.device.readFile('/etc/systemd/system/revtun-home.service');
    expect(unit).toContain('\nReleaseOnArrival=no\n');
    expect(unit).not.toContain('"$$@" release');
    expect(await install(home)).toMatchObject({ code: 0, changed: true });
    expect(await world.device.readFile('/etc/systemd/system/revtun-home.service')).toContain('"$$@" release');
  });

  test('ends no session of its account that leads here, as somebody may have come that way', async () => {
    await world.revtun(['uninstall', 'home']);
    const byHand = world.device.spawn(['ssh', '-NT', '-o', 'StrictHostKeyChecking=no', '-R', `127.0.0.1:${home.port}:localhost:22`, `${accountOf(home.name)}@server.test`]);
    try {
      await untilReachable(world.server, home.port);
      expect(await install(home)).toMatchObject({ code: 1, changed: false, error: { code: 'port-mine', hint: expect.stringContaining('end it') } });
      await untilReachable(world.server, home.port, 1000);
    } finally {
      byHand.signal('SIGKILL');
      await byHand.exited;
    }
    expect(await install(home)).toMatchObject({ code: 0, verified: { level: 'proven' } });
  });

  test('does without it where an account is only called like ours', async () => {
    const { server, device } = world;
    // Before ours, sshd takes the first value that it meets.
    await server.writeFile('/etc/ssh/sshd_config.d/0-fake.conf', 'Match User revtun-fake\n    AllowGroups *\n    ForceCommand none\n    AuthorizedKeysFile /etc/ssh/fake\n    AuthorizedKeysCommand none\nMatch all\n');
    await server.succeed(['useradd', '--create-home', '--shell', '/bin/bash', '--password', '*', 'revtun-fake']);
    await server.writeFile('/etc/ssh/fake', await device.readFile('/root/.ssh/id_ed25519.pub'));
    await server.succeed(['systemctl', 'reload', 'ssh.service']);
    const fake: DeviceAccount = { name: 'fake', uid: 0, port: 22224, publicKey: '' };
    const first = await install(fake);
    expect([first, first.stderr]).toMatchObject([{ code: 0, verified: { level: 'proven' } }, expect.stringContaining('release on arrival: no')]);
    expect(await device.readFile('/etc/systemd/system/revtun-fake.service')).toContain('\nReleaseOnArrival=no\n');
    expect(await install(fake)).toMatchObject({ code: 0, changed: false });
    await world.revtun(['uninstall', 'fake']);
  });
});

describe('a key that was revoked', () => {
  test('goes on knocking for a minute, and neither its address nor another key is banned', async () => {
    await sleep(Math.max(0, revokedAt + 60_000 - Date.now()));
    const said = await world.server.succeed(['journalctl', '-u', 'ssh.service', '-o', 'cat']);
    const refusals = await world.device.succeed(['journalctl', '-b', '-u', `revtun-${gone.name}.service`, '-o', 'cat']);
    // Since the power cut; those before went with it.
    expect(refusals.match(/Permission denied/g)?.length).toBeGreaterThanOrEqual(4);
    expect(said).not.toMatch(/drop connection|penalty/);
    expect((await world.device.run(['ssh', '-o', 'StrictHostKeyChecking=no', 'pi@server.test', 'true'])).code).toBe(0);
    await authorizeDevice(world.server, gone);
    await untilReachable(world.server, gone.port, 8000);
  });
});
