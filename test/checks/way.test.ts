import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createServer as createHttp, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { rmSync } from 'node:fs';
import { fetchHostKey } from '../../src/checks/hostKey.ts';
import { attemptTunnel } from '../../src/checks/trial.ts';
import { wayFailure } from '../../src/checks/way.ts';
import { withWorkbench } from '../../src/checks/workbench.ts';
import { ExpectedError } from '../../src/errors.ts';
import { local } from '../../src/machine/local.ts';
import type { DialResult, Machine } from '../../src/machine/machine.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { freshFolder } from '../lab/paths.ts';
import { bannerOnly, freePort, type Key, makeKey, silentServer, startSshd, type Sshd, type TestServer } from '../lab/sshd.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';

let folder: string;
let key: Key;
let [sshd, busy]: Sshd[] = [];
let [silent, mail]: TestServer[] = [];
let closedPort: number;
let holder: Socket;
let http: HttpServer;
const [hangsUp, speaksOnce] = [createServer((socket) => socket.destroy()), createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.write('SSH-2.0-OpenSSH_9.2p1 Stuck\r\n');
})];
const portOf = (server: Server | HttpServer) => (server.address() as AddressInfo).port;
const listen = (server: Server | HttpServer) => new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });

beforeAll(async () => {
  folder = freshFolder();
  key = await makeKey(folder, { name: 'key' });
  http = createHttp((_asked, answer) => answer.end('hello'));
  [sshd, busy, silent, mail, closedPort] = await Promise.all([
    startSshd({ authorizedKeys: [key.publicKeyLine] }), startSshd({ config: ['PerSourceMaxStartups 1', 'LoginGraceTime 120'] }), silentServer(), bannerOnly('220 mail.test ESMTP'), freePort(),
    listen(hangsUp), listen(speaksOnce), listen(http),
  ]);
  holder = connect(busy.port, '127.0.0.1');
  await new Promise((resolve) => { holder.once('data', resolve); });
});
afterAll(async () => {
  holder?.destroy();
  for (const server of [hangsUp, speaksOnce, http]) server?.close();
  await Promise.all([sshd?.dispose(), busy?.dispose(), silent?.stop(), mail?.stop()]);
  rmSync(folder, { recursive: true });
});

/** What a look at a server without a tunnel finds, first as the doctor has it, then as an install does. */
const rows: readonly (readonly [string, () => number, (string | undefined)?])[] = [
  ['server-refused', () => closedPort],
  ['not-ssh', () => mail!.port],
  ['server-mute', () => silent!.port],
  ['server-closed', () => portOf(hangsUp)],
  ['server-busy', () => busy!.port],
];

const bench = <T>(tunnel: Tunnel, work: (bench: Parameters<Parameters<typeof withWorkbench<T>>[4]>[0]) => Promise<T>) =>
  withWorkbench(local, tunnel, key.path, new AbortController().signal, work, { patience: { attempts: 1, connectTimeout: 2 }, limit: 6000 });

const failure = (work: Promise<unknown>) => work.then(() => undefined, (error: unknown) => {
  if (error instanceof ExpectedError) return error;
  throw error;
});

describe('a server that', () => {
  test.each(rows)('is %s is called so by a look and by ssh', async (id, port) => {
    const begin = performance.now();
    const look = await wayFailure(local, { host: '127.0.0.1', port: port() }, '');
    const tunnel = exampleTunnel({ host: '127.0.0.1', port: port() });
    const installing = await bench(tunnel, (it) => failure(fetchHostKey(local, tunnel, it)));
    expect([look, installing]).toMatchObject([{ id, message: expect.stringContaining(`127.0.0.1:${port()}`) }, { id, message: expect.stringContaining(`127.0.0.1:${port()}`) }]);
    expect(performance.now() - begin).toBeLessThan(12_000);
  });

  test('waits for others to begin is no ssh server, which ssh is the first to hear', async () => {
    const tunnel = exampleTunnel({ host: '127.0.0.1', port: portOf(http) });
    expect(await bench(tunnel, (it) => failure(fetchHostKey(local, tunnel, it)))).toMatchObject({ id: 'not-ssh', message: expect.stringContaining('400 Bad Request') });
  });

  test('is sound is not found fault with', async () => {
    expect(await wayFailure(local, { host: '127.0.0.1', port: sshd!.port }, '')).toBeUndefined();
    expect(await wayFailure(local, { host: 'localhost', port: sshd!.port }, '')).toBeUndefined();
  });

  test('is asked for by a name that getent does not find at first is not logged in to', async () => {
    const asked: string[] = [];
    const blind: Machine = { ...local, run: (argv, options) => {
      asked.push(argv.join(' '));
      return argv[0] === 'getent' ? Promise.resolve({ code: 2, stdout: '', stderr: '', timedOut: false, stopped: false }) : local.run(argv, options);
    } };
    expect(await wayFailure(blind, { host: 'localhost', port: sshd!.port }, '')).toBeUndefined();
    expect(asked).toEqual([expect.stringContaining('getent'), expect.stringMatching(/^\/usr\/bin\/ssh .*-o PreferredAuthentications=none/)]);
    expect(await wayFailure(blind, { host: 'nowhere.invalid' }, '')).toMatchObject({ id: expect.stringMatching(/^(name-unknown|dns-silent|network-down)$/) });
  });

  test('names itself and then stops loses packets, or might as well', async () => {
    const tunnel = exampleTunnel({ host: '127.0.0.1', port: portOf(speaksOnce), keepalive: 1 });
    expect(await bench(tunnel, (it) => failure(fetchHostKey(local, tunnel, it)))).toMatchObject({ id: 'packets-lost' });
  });
});

describe('behind a jump host', () => {
  const attempt = (host: string, port: number) => {
    const tunnel = exampleTunnel({ host, port, user: sshd!.user, jump: [{ host: '127.0.0.1', port: sshd!.port, user: sshd!.user }], forwards: forwards('-D 1') });
    return bench(tunnel, async (it) => {
      await it.pin(sshd!.knownHostsLines().trim().split('\n'));
      return (await attemptTunnel({ ...tunnel, forwards: [] }, key.publicKeyLine, it, new Set())).failure;
    });
  };

  test.each([
    ['server-refused', () => attempt('127.0.0.1', closedPort)],
    ['server-silent', () => attempt('127.0.0.1', silent!.port)],
    ['name-unknown', () => attempt('nowhere.invalid', 22)],
  ])('%s is what that host sees', async (id, look) => {
    const found = await look();
    expect([found?.id, found?.message]).toEqual([id, expect.stringContaining('127.0.0.1')]);
  });

  test('a key that the jump host refuses has its line, for there', async () => {
    const stranger = await makeKey(folder, { name: 'stranger' });
    const tunnel = exampleTunnel({ host: 'far.test', user: 'ann', jump: [{ host: '127.0.0.1', port: sshd!.port, user: sshd!.user }], identityFile: stranger.path });
    const found = await withWorkbench(local, tunnel, stranger.path, new AbortController().signal, async (it) => {
      await it.pin(sshd!.knownHostsLines().trim().split('\n'));
      return (await attemptTunnel(tunnel, stranger.publicKeyLine, it, new Set())).failure;
    });
    expect(found).toMatchObject({ id: 'key-refused', hint: expect.stringContaining(`${sshd!.user}@127.0.0.1:${sshd!.port}`) });
    expect(found?.hint).toContain('permitopen="far.test:22"');
  });
});

/** This machine, but for the network: what cannot be had on one machine. */
const machine = (dial: (host: string) => DialResult, said: Readonly<Record<string, string>> = {}): Machine => ({
  ...local,
  read: async (path) => (path.startsWith('/proc/net/') ? Buffer.from(said[path] ?? '') : local.read(path)),
  run: async (argv) => ({ code: 0, stdout: said[argv.join(' ')] ?? said[argv[0]!] ?? '', stderr: said[`${argv[0]} says`] ?? '', timedOut: said[argv[0]!] === 'hangs', stopped: false }),
  dial: async (target) => dial('host' in target ? target.host : target.path),
});
const outcome = (of: Exclude<DialResult['outcome'], 'connected'>): DialResult => ({ outcome: of, reason: of });
const ROUTED = { ip: '2: eth0@if7: <UP> mtu 1500 state UP mode DEFAULT\n', '/proc/net/route': 'eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n' };
const TWO = { ...ROUTED, getent: '2001:db8::1 STREAM h\n2001:db8::1 DGRAM\n192.0.2.1 STREAM\n' };

describe('of what connections show', () => {
  test.each<[string, string | undefined, (host: string) => DialResult, Readonly<Record<string, string>>]>([
    ['one address of two that answers is enough', undefined, (host) => (host.includes(':') ? outcome('timeout') : { outcome: 'connected', banner: 'SSH-2.0-x' }), TWO],
    ['words before the version are allowed (RFC 4253, 4.2)', undefined, () => ({ outcome: 'connected', banner: 'welcome\r\nSSH-2.0-x' }), TWO],
    ['a refusal says more than silence', 'server-refused', (host) => outcome(host.includes(':') ? 'timeout' : 'refused'), TWO],
    ['silence says more than a missing route', 'server-silent', (host) => outcome(host.includes(':') ? 'unreachable' : 'timeout'), TWO],
    ['a rule of this machine', 'blocked-here', () => outcome('forbidden'), TWO],
    ['no route', 'no-route', () => outcome('unreachable'), TWO],
    ['no default route', 'network-down', () => outcome('unreachable'), { ...TWO, '/proc/net/route': '' }],
    ['a network without a gateway, and a server in it', 'server-silent', () => outcome('timeout'), { ...TWO, '/proc/net/route': '', 'ip -o route get 192.0.2.1': '192.0.2.1 dev eth0 src 192.0.2.9 uid 0 \\    cache \n' }],
    ['no carrier', 'network-down', () => outcome('timeout'), { ...TWO, ip: '1: lo: <UP> mtu 1 state UNKNOWN\n2: eth0: <NO-CARRIER,UP> mtu 1500 state DOWN\n' }],
    ['a tunnel interface is up all the time', 'no-route', () => outcome('unreachable'), { ...TWO, ip: '2: eth0: <> mtu 1500 state DOWN\n3: wg0: <UP> mtu 1420 state UNKNOWN\n' }],
    ['no such name', 'name-unknown', () => outcome('refused'), { ...ROUTED, '/usr/bin/ssh says': 'ssh: Could not resolve hostname h: Name or service not known' }],
    ['name servers that refuse', 'dns-silent', () => outcome('refused'), { ...ROUTED, '/usr/bin/ssh says': 'ssh: Could not resolve hostname h: Temporary failure in name resolution' }],
    ['name servers that do not answer ssh in time', 'dns-silent', () => outcome('refused'), { ...ROUTED, '/usr/bin/ssh': 'hangs' }],
    ['a name that resolves the second time', 'server-refused', () => outcome('refused'), { ...ROUTED, '/usr/bin/ssh says': 'debug1: Connecting to h [192.0.2.1] port 22.\r\n' }],
    ['name servers that do not answer', 'dns-silent', () => outcome('refused'), { ...ROUTED, getent: 'hangs' }],
    ['no network to ask name servers by', 'network-down', () => outcome('refused'), { getent: 'hangs', ip: '2: eth0: <> mtu 1500 state DOWN\n' }],
  ])('%s: %s', async (_what, id, dial, said) => {
    expect((await wayFailure(machine(dial, said), { host: 'h' }, ''))?.id).toBe(id);
  });

  test.each([
    ['banned', 'debug1: kex_exchange_identification: banner line 0: Not allowed at this time\n'],
    ['server-busy', 'debug1: kex_exchange_identification: banner line 0: Exceeded MaxStartups\n'],
    ['not-ssh', 'debug1: kex_exchange_identification: banner line 0: HTTP/1.1 400 Bad Request\n'],
    ['server-mute', 'Connection timed out during banner exchange\n'],
  ])('%s, as ssh heard it, needs no second look', async (id, said) => {
    expect((await wayFailure(machine(() => outcome('refused')), { host: 'h' }, said))?.id).toBe(id);
  });
});
