import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../lab/waitFor.ts';
import { makeWorld, untilReachable, type World } from './world.ts';

let world: World<never>;

beforeAll(async () => {
  world = await makeWorld();
  const { code } = await world.revtun(['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint]);
  expect(code).toBe(0);
});
afterAll(() => world?.dispose());
afterEach(() => world.device.heal());

const state = async () => (await world.device.run(['systemctl', 'is-active', 'revtun-home.service'])).stdout.trim();
const untilState = async (wanted: string, timeoutMs: number) => {
  const begin = performance.now();
  await waitFor(async () => (await state()) === wanted, { timeoutMs, what: `the service to be ${wanted}` });
  return performance.now() - begin;
};

describe('a tunnel that is up', () => {
  test('notices a dead link within 15 s, and says so', async () => {
    await world.device.blackhole();
    expect(await untilState('activating', 20_000)).toBeLessThan(15_000);
    const { code, stdout } = await world.revtun(['status', 'home', '--json']);
    expect([code, JSON.parse(stdout)]).toMatchObject([3, { state: 'connecting', lastReason: expect.stringContaining('not responding') }]);
    await world.device.heal();
    await untilReachable(world.server, 22222, 20_000);
  });

  test('is not called active while the server holds its port for a session that a power cut killed', async () => {
    const holder = async () => /pid=(\d+)/.exec(await world.server.succeed(['ss', '-Hltnp', 'sport = :22222']))?.[1];
    const dead = await holder();
    // Nothing may be under way: a packet that the server has to send again would meet the new boot, and end the session.
    await sleep(1000);
    await world.device.powerCut();
    await world.device.powerOn();
    // Nobody dials the port here: that would make the server notice.
    for (let look = 0; look < 12; look += 1) {
      expect(await holder()).toBe(dead);
      expect(await state()).toBe('activating');
      await sleep(500);
    }
    expect(await world.device.succeed(['journalctl', '-u', 'revtun-home.service', '-o', 'cat'])).toContain('remote port forwarding failed');
    await world.server.succeed(['kill', '-KILL', dead!]);
    await untilState('active', 15_000);
    await untilReachable(world.server, 22222, 3000);
  });

  test('comes back when its ssh is killed, and when the server ends the session', async () => {
    await world.device.succeed(['pkill', '-KILL', '-u', 'revtun']);
    await untilReachable(world.server, 22222, 10_000);
    await world.server.succeed(['pkill', '-KILL', '-u', 'pi', 'sshd']);
    await untilState('activating', 3000);
    await untilReachable(world.server, 22222, 10_000);
    expect(JSON.parse((await world.revtun(['status', 'home', '--json'])).stdout)).toMatchObject({ restarts: expect.any(Number), lastReason: expect.stringContaining('closed') });
  });

  test('outlasts a server that is away, however often it fails meanwhile', async () => {
    await world.server.succeed(['systemctl', 'stop', 'ssh.service']);
    await world.server.run(['pkill', '-KILL', '-u', 'pi', 'sshd']);
    await sleep(20_000);
    expect(await state()).toBe('activating');
    await world.server.succeed(['systemctl', 'start', 'ssh.service']);
    await untilReachable(world.server, 22222, 10_000);
  });

  test('comes up after a boot without network or names, once there are some', async () => {
    await world.device.unplug();
    await world.device.reboot();
    const hosts = await world.device.readFile('/etc/hosts');
    await world.device.writeFile('/etc/hosts', '127.0.0.1 localhost\n');
    await sleep(6000);
    expect(await state()).not.toBe('active');
    await world.server.run(['pkill', '-KILL', '-u', 'pi', 'sshd']);
    await world.device.writeFile('/etc/hosts', hosts);
    await world.device.plug();
    await untilReachable(world.server, 22222, 20_000);
  });
});

describe('a server that hangs', () => {
  test.each([
    ['before its banner', 'await new Promise(() => {})', /and then says nothing/],
    ['after its banner', 'socket.write("SSH-2.0-hangs\\r\\n")', /the key exchange never ends/],
  ])('%s is given up within 30 s, by an install and by the service', async (_when, script, says) => {
    const { server, device } = world;
    const hanging = server.spawn([process.execPath, '-e', `require('net').createServer(async (socket) => { socket.on('error', () => {}); ${script}; }).listen(2222, '::')`]);
    try {
      await waitFor(async () => (await server.run(['ss', '-Hltn', 'sport = :2222'])).stdout !== '', { what: 'the hanging server' });
      const begin = performance.now();
      const known = (await server.knownHostsLine('server.test', 2222)).trim();
      await device.writeFile('/root/known', `${known}\n`);
      const install = await world.revtun(['install', 'slow', '--host', 'pi@server.test:2222', '--remote-port', '22223', '--known-hosts', '/root/known']);
      expect([install.code, install.stderr]).toEqual([1, expect.stringMatching(says)]);
      expect(performance.now() - begin).toBeLessThan(30_000);

      expect((await world.revtun(['install', 'slow', '--host', 'pi@server.test:2222', '--remote-port', '22223', '--known-hosts', '/root/known', '--no-start'])).code).toBe(0);
      const started = performance.now();
      expect((await device.run(['systemctl', 'start', 'revtun-slow.service'], { timeoutMs: 40_000 })).code).toBe(1);
      expect(performance.now() - started).toBeLessThan(30_000);
      expect((await device.run(['systemctl', 'is-active', 'revtun-slow.service'])).stdout.trim()).toBe('activating');
    } finally {
      hanging.signal('SIGKILL');
      await world.revtun(['uninstall', 'slow']);
    }
  });
});
