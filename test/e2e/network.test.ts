import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { waitFor } from '../lab/waitFor.ts';
import { firstLine, makeWorld, untilReachable, type World } from './world.ts';

let world: World<'jump'>;

beforeAll(async () => {
  world = await makeWorld({ jump: {} });
  const { device, hosts: { jump } } = world;
  await jump.authorizeKey('pi', await device.readFile('/root/.ssh/id_ed25519.pub'));
  const lines = await Promise.all([world.server.knownHostsLine('server.test'), world.server.knownHostsLine('server6.test'), jump.knownHostsLine('jump.test')]);
  await device.writeFile('/root/known', lines.map((line) => `${line.trim()}\n`).join(''));
});
afterAll(() => world?.dispose());
afterEach(async () => {
  await world.revtun(['uninstall', '--all']);
  await world.server.sshdConfig('');
});

const install = async (...args: string[]) => {
  const { code, stdout, stderr } = await world.revtun(['install', '--json', '--known-hosts', '/root/known', ...args]);
  return { code, stderr, ...(JSON.parse(stdout) as { error?: { code: string; message: string }; verified?: { level: string; forwards: { finding: string }[] } }) };
};
const listeners = async (port: number) => {
  const lines = (await world.server.succeed(['ss', '-Hltn', `sport = :${port}`])).trim().split('\n');
  return lines.map((line) => line.split(/\s+/)[3]!.replace(/:\d+$/, '')).toSorted();
};

describe('the way to the server', () => {
  test('leads through a jump host, and comes back when any part of it dies', async () => {
    expect(await install('far', '--host', 'pi@server.test', '--jump', 'pi@jump.test', '--remote-port', '22222')).toMatchObject({ code: 0, verified: { level: 'proven' } });
    const peers = await world.server.succeed(['ss', '-Htn', 'state', 'established', 'sport = :22']);
    expect([world.hosts.jump.v4, world.hosts.jump.v6].some((address) => peers.includes(address))).toBe(true);
    await world.hosts.jump.succeed(['pkill', '-KILL', '-u', 'pi', 'sshd']);
    await untilReachable(world.server, 22222);
    await world.device.succeed(['pkill', '-KILL', '-u', 'revtun', '-f', 'fNTy']);
    await untilReachable(world.server, 22222);
    const { stdout } = await world.revtun(['install', 'far', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, changed: false });
  });

  test('may be IPv6, by name or by address', async () => {
    const { server } = world;
    expect(await install('six', '--host', 'pi@server6.test', '--remote-port', '22222')).toMatchObject({ code: 0, verified: { level: 'proven' } });
    const { stdout, stderr } = await world.revtun(['install', 'addr', '--json', '--host', `pi@[${server.v6}]`, '--remote-port', '22223', '--host-key', world.fingerprint]);
    expect([JSON.parse(stdout), stderr]).toMatchObject([{ ok: true, verified: { level: 'proven' } }, expect.anything()]);
    expect((await server.succeed(['ss', '-Htn', 'state', 'established', 'sport = :22'])).match(/\[[0-9a-f:]+\]:22 /g)).toHaveLength(2);
  });
});

describe('several tunnels', () => {
  test('stand side by side, and one goes without the other', async () => {
    expect((await install('one', '--host', 'pi@server.test', '--remote-port', '22222')).code).toBe(0);
    expect((await install('two', '--host', 'pi@server.test', '--remote-port', '22223')).code).toBe(0);
    expect((await world.revtun(['list'])).stdout.match(/ up /g)).toHaveLength(2);
    expect((await world.revtun(['uninstall'])).code).toBe(2);
    expect((await world.revtun(['uninstall', 'one'])).code).toBe(0);
    expect(await firstLine(world.server, 22222)).toBeUndefined();
    expect(await firstLine(world.server, 22223)).toMatch(/^SSH-/);
  });

  test('are installed at the same time without mixing', async () => {
    const both = await Promise.all(['one', 'two'].map((name, index) => install(name, '--host', 'pi@server.test', '--remote-port', String(22222 + index))));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    await Promise.all([22222, 22223].map((port) => untilReachable(world.server, port, 3000)));
  });

  test('share one connection when they are forwards of one tunnel', async () => {
    await world.device.bannerServer(7777, 'hello');
    expect(await install('many', '--host', 'pi@server.test', '--remote-port', '22222', '-R', '127.0.0.1:7778:localhost:7777', '-L', '127.0.0.1:2200:localhost:22', '-D', '1080'))
      .toMatchObject({ code: 0, verified: { level: 'proven', forwards: [{ finding: 'proven' }, { finding: 'proven' }] } });
    expect(await firstLine(world.server, 7778)).toBe('hello');
    expect(await firstLine(world.device, 2200)).toMatch(/^SSH-/);
    expect((await world.server.succeed(['ss', '-Htn', 'state', 'established', 'sport = :22'])).trim().split('\n')).toHaveLength(1);
  });
});

describe('who may reach the port', () => {
  const args = ['pub', '--host', 'pi@server.test', '--remote-port', '22222'];
  const everyone = [...args, '--bind', '*', '--accept-risk=public'];

  test('everyone, only if that is said to be meant', async () => {
    expect(await install(...args, '--bind', '*')).toMatchObject({ code: 2, error: { code: 'risk' } });
  });

  test.each(['clientspecified', 'yes'])('everyone, where GatewayPorts is %s', async (gatewayPorts) => {
    await world.server.sshdConfig(`GatewayPorts ${gatewayPorts}`);
    expect(await install(...everyone)).toMatchObject({ code: 0, verified: { level: 'proven', forwards: [{ finding: 'proven' }] } });
    expect(await firstLine(world.hosts.jump, 22222, world.server.v4)).toMatch(/^SSH-/);
  });

  test('everyone is refused and undone where GatewayPorts makes it loopback', async () => {
    expect(await install(...everyone)).toMatchObject({ code: 1, error: { code: 'made-loopback', message: expect.stringContaining('GatewayPorts') } });
    expect((await world.revtun(['list'])).stdout).toContain('No tunnels');
  });

  test.each(['no', 'clientspecified'])('the server alone, where GatewayPorts is %s', async (gatewayPorts) => {
    await world.server.sshdConfig(`GatewayPorts ${gatewayPorts}`);
    expect(await install(...args)).toMatchObject({ code: 0, verified: { level: 'proven' } });
    expect(await listeners(22222)).toEqual(['127.0.0.1']);
  });

  test('loopback that GatewayPorts makes public is found before anything is touched', async () => {
    await world.server.sshdConfig('GatewayPorts yes');
    expect(await install(...args)).toMatchObject({ code: 1, error: { code: 'made-public', message: expect.stringContaining('GatewayPorts') } });
    expect((await world.device.run(['test', '-e', '/etc/revtun'])).code).toBe(1);
  });

  test('and by status, when the server is changed later', async () => {
    expect((await install(...args)).code).toBe(0);
    await world.server.sshdConfig('GatewayPorts yes');
    await world.device.succeed(['systemctl', 'restart', 'revtun-pub.service']);
    const { code, stdout } = await world.revtun(['status', 'pub', '--json']);
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { ok: false, error: { code: 'made-public' } }]);
  });
});

describe('who may reach the port, through a jump host', () => {
  const args = ['pub', '--host', 'pi@server.test', '--jump', 'pi@jump.test', '--remote-port', '22222'];

  test('everyone is refused where GatewayPorts makes it loopback', async () => {
    expect(await install(...args, '--bind', '*', '--accept-risk=public')).toMatchObject({ code: 1, error: { code: 'made-loopback' } });
  });

  test('loopback that was made public later is found by status', async () => {
    expect(await install(...args)).toMatchObject({ code: 0, verified: { level: 'proven' } });
    await world.server.sshdConfig('GatewayPorts yes');
    await world.device.succeed(['systemctl', 'restart', 'revtun-pub.service']);
    expect(JSON.parse((await world.revtun(['status', 'pub', '--json'])).stdout)).toMatchObject({ ok: false, error: { code: 'made-public' } });
  });
});

describe('a host key that is revoked', () => {
  test('is refused, whoever vouches for it', async () => {
    const key = (await world.server.knownHostsLine('server.test')).trim().split(' ').slice(1).join(' ');
    await world.device.writeFile('/root/.ssh/known_hosts', `@revoked * ${key}\nserver.test ${key}\n`);
    for (const trust of [[], ['--host-key', world.fingerprint], ['--accept-new-host-key']]) {
      const { code, stdout } = await world.revtun(['install', 'home', '--json', '--host', 'pi@server.test', '--remote-port', '22222', ...trust]);
      expect([trust, code, JSON.parse(stdout)]).toMatchObject([trust, 4, { error: { code: 'host-key-revoked' } }]);
    }
    await world.device.succeed(['rm', '/root/.ssh/known_hosts']);
  });
});

describe('what the server refuses', () => {
  const args = ['home', '--host', 'pi@server.test', '--remote-port', '22222'];
  const keyLine = async (options: string) => {
    const key = (await world.device.readFile('/root/.ssh/id_ed25519.pub')).trim();
    const ofPi = await world.device.readFile('/home/pi/.ssh/id_ed25519.pub');
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', `${options}${options && ' '}${key}\n${ofPi}`, { owner: 'pi', mode: 0o600 });
  };
  afterEach(() => keyLine(''));

  test('forwarding altogether', async () => {
    await world.server.sshdConfig('AllowTcpForwarding no');
    expect(await install(...args)).toMatchObject({ code: 1, error: { code: 'forwarding-disabled' } });
  });

  test('this listener, by permitlisten', async () => {
    await keyLine('restrict,port-forwarding,permitlisten="localhost:22222"');
    expect(await install(...args)).toMatchObject({ code: 1, error: { code: 'listen-not-permitted' } });
    expect(await install(...args, '--bind', 'localhost')).toMatchObject({ code: 0, verified: { level: 'proven' } });
  });

  test('a taken port', async () => {
    const other = world.device.spawn(['ssh', '-NT', '-o', 'StrictHostKeyChecking=no', '-R', '127.0.0.1:22222:localhost:1', 'pi@server.test'], { user: 'pi' });
    try {
      await waitFor(async () => (await listeners(22222)).includes('127.0.0.1'), { what: 'the other program' });
      expect(await install(...args)).toMatchObject({ code: 1, error: { code: 'port-taken' } });
    } finally {
      other.signal('SIGTERM');
      await other.exited;
    }
  });

  test('a connection to its own port, so that nothing can be proven from here', async () => {
    await keyLine('restrict,port-forwarding,permitlisten="127.0.0.1:22222",permitopen="127.0.0.1:1"');
    expect(await install(...args)).toMatchObject({ code: 0, verified: { level: 'listener', forwards: [{ finding: 'not-provable' }] } });
  });

  test('the key: exit code 4 and the line to paste, which is all that is needed', async () => {
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', '', { owner: 'pi', mode: 0o600 });
    const { code, stderr } = await install(...args);
    expect(code).toBe(4);
    const line = /^restrict,.*$/m.exec(stderr)?.[0] ?? '';
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', `${line}\n`, { owner: 'pi', mode: 0o600 });
    expect(await install(...args)).toMatchObject({ code: 0, verified: { level: 'proven' } });
  });

  test('a new key is kept until the server knows it', async () => {
    const first = await install(...args, '--generate-key');
    expect(first).toMatchObject({ code: 4, error: { code: 'key-refused' } });
    const line = /^restrict,.*$/m.exec(first.stderr)?.[0] ?? '';
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', `${line}\n`, { owner: 'pi', mode: 0o600 });
    expect(await install(...args, '--generate-key')).toMatchObject({ code: 0, verified: { level: 'proven' } });
    expect((await world.device.succeed(['stat', '-c', '%a %U', '/etc/revtun/home/key'])).trim()).toBe('600 root');
  });
});

describe('the far end', () => {
  test('that is another machine is not taken for this one', async () => {
    expect((await install('home', '--host', 'pi@server.test', '--remote-port', '22222')).code).toBe(0);
    // What dials the port now meets the server's own sshd: the same words, another host key.
    const redirect = ['add rule ip rvt away tcp dport 22222 redirect to :22'];
    // Not by stdin: nft of Debian 11 opens /dev/stdin, which a socket does not allow.
    await world.server.writeFile('/root/redirect', ['add table ip rvt', 'add chain ip rvt away { type nat hook output priority -100; }', ...redirect, ''].join('\n'));
    await world.server.succeed(['nft', '-f', '/root/redirect']);
    const { code, stdout } = await world.revtun(['status', 'home', '--json']);
    await world.server.succeed(['nft', 'delete', 'table', 'ip', 'rvt']);
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { state: 'up', error: { code: 'wrong-machine' } }]);
  });

  test('is not mistaken for the way there, where both are at port 22 and nothing listens here', async () => {
    await world.device.succeed(['systemctl', 'stop', 'ssh.service', 'ssh.socket']);
    try {
      expect(await install('home', '--host', 'pi@server.test', '--remote-port', '22222'))
        .toMatchObject({ code: 0, verified: { level: 'listener', forwards: [{ finding: 'nothing-here' }] } });
    } finally {
      await world.device.succeed(['systemctl', 'start', 'ssh.service']);
    }
  });

  test('is not judged by a probe that may no longer log in', async () => {
    expect((await install('home', '--host', 'pi@server.test', '--remote-port', '22222')).code).toBe(0);
    const accepted = await world.server.readFile('/home/pi/.ssh/authorized_keys');
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', '', { owner: 'pi', mode: 0o600 });
    const { code, stdout } = await world.revtun(['status', 'home', '--json']);
    await world.server.writeFile('/home/pi/.ssh/authorized_keys', accepted, { owner: 'pi', mode: 0o600 });
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'up', verified: { level: 'listener', forwards: [{ finding: 'not-provable' }] } }]);
  });

  test('where nothing listens is said so', async () => {
    expect(await install('web', '--host', 'pi@server.test', '--remote-port', '8080', '--local-port', '8080'))
      .toMatchObject({ code: 0, verified: { level: 'listener', forwards: [{ finding: 'nothing-here' }] } });
  });

  test('may be a Unix socket, if the service may open it', async () => {
    expect(await install('bus', '--host', 'pi@server.test', '-R', '127.0.0.1:8080:/run/dbus/system_bus_socket'))
      .toMatchObject({ code: 0, verified: { level: 'listener', forwards: [{ finding: 'answered' }] } });
    expect(await install('root', '--host', 'pi@server.test', '-R', '127.0.0.1:8081:/run/systemd/private'))
      .toMatchObject({ code: 1, error: { code: 'not-permitted-here', message: expect.stringContaining('SupplementaryGroups') } });
  });
});
