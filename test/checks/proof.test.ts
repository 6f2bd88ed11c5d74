import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { isUnreached, type Proof, proveTunnel } from '../../src/checks/verify.ts';
import { withWorkbench } from '../../src/checks/workbench.ts';
import { local, whoAmI } from '../../src/machine/local.ts';
import type { DialResult, Machine } from '../../src/machine/machine.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { start, tiedToUs } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';
import { signalTree } from '../lab/processTree.ts';
import { freePort, type Key, makeKey, silentServer, startSshd, type Sshd, type TestServer } from '../lab/sshd.ts';
import { waitFor } from '../lab/waitFor.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';

let folder: string;
let key: Key;
let [sshd, ownSshd]: Sshd[] = [];
let [web, mute]: TestServer[] = [];
let socket: Server;
let ports: { web: number; own: number; socks: number; socket: number; gone: number; talking: number };
let socketPath: string;
let talking: Server;
let tunnel: ChildProcess;

beforeAll(async () => {
  folder = freshFolder();
  key = await makeKey(folder, { name: 'key' });
  socketPath = join(folder, 'app.sock');
  const [first, second, third, fourth, fifth, sixth] = await Promise.all(Array.from({ length: 6 }, () => freePort())) as [number, number, number, number, number, number];
  ports = { web: first, own: second, socks: third, socket: fourth, gone: fifth, talking: sixth };
  socket = createServer((it) => it.on('error', () => undefined).resume());
  talking = createServer((it) => it.on('error', () => undefined).end('hello\n'));
  [sshd, ownSshd, web, mute] = await Promise.all([startSshd({ authorizedKeys: [key.publicKeyLine] }), startSshd(), silentServer(), silentServer()]);
  await Promise.all([new Promise<void>((resolve) => { socket.listen(socketPath, resolve); }), new Promise<void>((resolve) => { talking.listen(0, '127.0.0.1', resolve); })]);
  tunnel = await open(sshd.port, listening());
});
afterAll(async () => {
  signalTree(tunnel.pid!, 'SIGKILL');
  for (const server of [socket, talking]) server.close();
  await Promise.all([sshd?.dispose(), ownSshd?.dispose(), web?.stop(), mute?.stop()]);
  rmSync(folder, { recursive: true });
});
beforeEach(() => signalTree(tunnel.pid!, 'SIGCONT'));

const listening = () => [
  `${ports.web}:localhost:${web!.port}`, `${ports.own}:localhost:${ownSshd!.port}`, String(ports.socks), `${ports.socket}:${socketPath}`, `${ports.gone}:${folder}/gone.sock`,
  `${ports.talking}:localhost:${portOf(talking)}`,
];
const portOf = (server: Server) => (server.address() as { port: number }).port;

/** A tunnel, as a service would hold it. */
async function open(port: number, specs: readonly string[]): Promise<ChildProcess> {
  const options = ['-F', 'none', '-i', key.path, '-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${folder}/known`, '-o', 'ExitOnForwardFailure=yes'];
  const ssh = start(tiedToUs(['ssh', ...options, '-NT', '-p', String(port), ...specs.flatMap((spec) => ['-R', spec]), `${sshd!.user}@127.0.0.1`]), ['ignore', 'ignore', 'inherit']);
  const wanted = specs.map((spec) => Number(spec.split(':')[0]));
  await waitFor(() => wanted.every((one) => sshd!.listeners().some((listener) => listener.port === one)), { what: 'the tunnel', timeoutMs: 20_000 });
  return ssh;
}

async function prove(spec: string, { port = sshd!.port, machine = local, ...changes }: Partial<Tunnel> & { machine?: Machine } = {}, limit = 9500): Promise<Proof> {
  const wanted = exampleTunnel({ host: '127.0.0.1', port, user: sshd!.user, forwards: forwards(`-R ${spec}`), ...changes });
  const [proof] = await withWorkbench(machine, wanted, key.path, new AbortController().signal, async (bench) => {
    const pinned = sshd!.hostKeys().map(({ publicKeyLine }) => `[127.0.0.1]:${port} ${publicKeyLine.trim()}`);
    await bench.pin(pinned);
    return proveTunnel(machine, whoAmI(), wanted, bench, pinned);
  }, { patience: { attempts: 1, connectTimeout: 10 }, limit });
  return proof!;
}

/** This machine, but for what its targets say. */
const dialling = (result: DialResult): Machine => ({ ...local, dial: async () => result });

/** Others who connect to a target all the time. */
async function amongOthers<T>(port: number, work: () => Promise<T>): Promise<T> {
  const others = setInterval(() => {
    const other = connect(port, '127.0.0.1').on('error', () => undefined);
    setTimeout(() => other.destroy(), 400);
  }, 40);
  return work().finally(() => clearInterval(others));
}

describe('what waits for others to begin', () => {
  test('is proven by the connection that the tunnel makes', async () => {
    expect(await prove(listening()[0]!)).toMatchObject({ finding: 'proven' });
  });

  test('shows nothing of a tunnel whose server hangs during the login', async () => {
    const seen = await prove(listening()[0]!, { port: mute!.port }, 2000);
    expect([seen, isUnreached(seen)]).toMatchObject([{ finding: 'not-provable' }, true]);
  });
});

test('what speaks and hangs up at once is proven by its words and by the connection that was there', async () => {
  expect(await prove(listening()[5]!)).toMatchObject({ finding: 'proven' });
});

test('what speaks first is not missed for want of a connection of our own, such as a slow machine elsewhere', async () => {
  const machine = dialling({ outcome: 'timeout', reason: 'no answer' });
  expect(await prove(`${ports.talking}:localhost:${portOf(talking)}`, { machine })).toMatchObject({ finding: 'answered' });
  expect(await prove(listening()[0]!, { machine })).toMatchObject({ finding: 'nothing-here' });
});

test('another machine gets more time to answer than this one, and as much for its words', async () => {
  const limits: unknown[] = [];
  const machine: Machine = { ...local, dial: async (...asked) => (limits.push(asked), { outcome: 'timeout', reason: 'no answer' }) };
  await prove(`${ports.talking}:printer.lan:80`, { machine });
  await prove(`${ports.talking}:localhost:80`, { machine });
  expect(limits).toEqual([[{ host: 'printer.lan', port: 80 }, 5000, 2000], [{ host: 'localhost', port: 80 }, 2000, 2000]]);
});

test('a target that begins to listen while it is looked for is looked at once more, and once only', async () => {
  const refusing = (looks: number, seen: unknown[] = []): Machine => ({
    ...local, dial: (...asked) => (seen.push(asked) <= looks ? Promise.resolve({ outcome: 'refused', reason: 'no' }) : local.dial(...asked)),
  });
  expect(await prove(listening()[1]!, { machine: refusing(1) })).toMatchObject({ finding: 'proven' });
  expect(await prove(listening()[1]!, { machine: refusing(Infinity) })).toMatchObject({ finding: 'answered' });
});

test('a proxy is asked as one', async () => {
  expect(await prove(listening()[2]!)).toMatchObject({ finding: 'answered', says: expect.stringContaining('as the proxy does') });
});

test('all is silent where the link has died and no keepalive has noticed, whoever else connects to the target', async () => {
  signalTree(tunnel.pid!, 'SIGSTOP');
  const [toWeb, toOwn, toSocks, toSocket] = listening() as [string, string, string, string];
  const seen = await amongOthers(web!.port, () => Promise.all([toWeb, toOwn, toSocks, toSocket].map((spec) => prove(spec))));
  expect(seen.map(({ finding }) => finding)).toEqual(['silent', 'silent', 'silent', 'silent']);
});

describe('a Unix socket', () => {
  const forbidden = dialling({ outcome: 'forbidden', reason: 'connect EACCES' });

  test('answers, also where only the service may open it', async () => {
    for (const machine of [local, forbidden]) expect(await prove(listening()[3]!, { machine })).toMatchObject({ finding: 'answered' });
  });

  test('that neither this user nor the service may open is not called missing', async () => {
    expect(await prove(listening()[4]!, { machine: forbidden })).toMatchObject({ finding: 'not-permitted-here', says: expect.stringContaining('SupplementaryGroups') });
    expect(await prove(listening()[4]!, { machine: forbidden, scope: 'user' })).toMatchObject({ finding: 'not-permitted-here', says: expect.stringContaining('usermod') });
    expect(await prove(listening()[4]!)).toMatchObject({ finding: 'nothing-here' });
  });
});

test('a slow link is not taken for a dead one', async () => {
  const slow = await delaying(sshd!.port, 350);
  const [toOwn, toWeb] = [`${await freePort()}:localhost:${ownSshd!.port}`, `${await freePort()}:localhost:${web!.port}`];
  const other = await open(portOf(slow), [toOwn, toWeb]);
  try {
    const seen = await Promise.all([toOwn, toWeb].map((spec) => prove(spec, { port: portOf(slow) })));
    expect(seen.map(({ finding }) => finding)).toEqual(['proven', 'proven']);
  } finally {
    signalTree(other.pid!, 'SIGKILL');
    slow.close();
  }
}, 60_000);

/** A way to a port on which each word takes so many milliseconds. */
async function delaying(port: number, delay: number): Promise<Server> {
  const slow = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on('error', () => undefined).on('data', (words) => setTimeout(() => to.write(words), delay)).on('close', () => setTimeout(() => to.destroy(), delay));
    }
  });
  await new Promise<void>((resolve) => { slow.listen(0, '127.0.0.1', resolve); });
  return slow;
}
