import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, describe, expect, test } from '@jest/globals';
import { carries, isConnectedThrough, sessionWay } from '../../src/checks/carried.ts';
import { connectionsHere, fromTheOtherEnd, holdersOf, parseEnd } from '../../src/checks/connectionsHere.ts';
import { local, whoAmI } from '../../src/machine/local.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { parseForward } from '../../src/tunnel/forward.ts';

interface Process {
  readonly name: string;
  readonly parent: number;
  readonly terminal?: 'pseudo' | 'console';
  readonly environ?: string;
  readonly group?: string;
}

const PSEUDO_TERMINAL = (136 << 8) + 1;
const CONSOLE = (4 << 8) + 1;

/** The local end, the remote end, and which process holds it. */
type Socket = readonly [local: string, remote: string, holder: number];

/** A machine with these processes, of which 100 is this program, and these connections. */
function machineWith(processes: Readonly<Record<number, Process>>, some: readonly Socket[] = [], unixSockets = ''): Machine {
  // Each tunnel has its connection to the server.
  const links = Object.entries(processes).filter(([, { group }]) => group?.includes('revtun-') === true).map(([pid]): Socket => [`192.0.2.2/${41_000 + Number(pid)}`, '198.51.100.1/22', Number(pid)]);
  const sockets = [...some, ...links];
  const files = new Map<string, string>();
  for (const [pid, { name, parent, terminal, environ = '', group = '/' }] of Object.entries(processes)) {
    const device = terminal === 'pseudo' ? PSEUDO_TERMINAL : terminal === 'console' ? CONSOLE : 0;
    for (const place of pid === '100' ? [pid, 'self'] : [pid]) {
      files.set(`/proc/${place}/stat`, `${pid} (${name}) S ${parent} ${pid} ${pid} ${device} -1 0\n`);
      files.set(`/proc/${place}/environ`, `PATH=/bin\0${environ}\0HOME=/\0`);
      files.set(`/proc/${place}/cgroup`, `9:name=systemd:/\n0::${group}\n`);
    }
  }
  const hex = (text: string) => {
    const [address = '', port = ''] = text.split('/');
    return `${Buffer.from(address.split('.').map(Number)).swap32().toString('hex').toUpperCase()}:${Number(port).toString(16).toUpperCase().padStart(4, '0')}`;
  };
  files.set('/proc/net/tcp', sockets.map(([here, there], at) => `  ${at}: ${hex(here)} ${hex(there)} 01 0:0 0:0 0 0 0 ${1000 + at} 1`).join('\n'));
  files.set('/proc/net/unix', unixSockets);
  return {
    ...local,
    read: async (path) => (files.has(path) ? Buffer.from(files.get(path)!) : undefined),
    run: async (argv) => ({
      code: 0, stderr: '', timedOut: false, stopped: false,
      stdout: sockets.map(([, , holder], at) => [`/proc/${holder}/fd/3 socket:[${1000 + at}]`, `socket:\\[${1000 + at}\\]`] as const).filter(([, pattern]) => argv.includes(pattern)).map(([found]) => `${found}\n`).join(''),
    }),
  };
}

const who = { ...whoAmI(), env: {} };
const HOME = '/system.slice/revtun-home.service';
const OTHER = '/system.slice/revtun-other.service';

const here = { name: 'node', parent: 90, terminal: 'pseudo' } as const;
const shell = (environ: string) => ({ 90: { name: 'sudo', parent: 80, terminal: 'pseudo', environ }, 80: { name: 'bash', parent: 70, terminal: 'pseudo', environ } }) as const;
const sshd = { 70: { name: 'sshd-session', parent: 60 }, 60: { name: 'sshd', parent: 1 }, 1: { name: 'systemd', parent: 0 } } as const;
const connection = (dialler: number, port = 40_000): Socket[] => [[`127.0.0.1/${port}`, '127.0.0.1/22', dialler], ['127.0.0.1/22', `127.0.0.1/${port}`, 70]];
const ofLoopback = 'SSH_CONNECTION=127.0.0.1 40000 127.0.0.1 22';
const service = (group: string) => ({ name: 'ssh', parent: 1, group });

describe.each<[string, Machine, 'yes' | 'perhaps' | 'no']>([
  ['came through the tunnel', machineWith({ 100: here, ...shell(ofLoopback), ...sshd, 50: service(HOME) }, connection(50)), 'yes'],
  ['came through another tunnel, while somebody else is in by this one',
    machineWith({ 100: here, ...shell(ofLoopback), ...sshd, 50: service(OTHER), 51: service(HOME) }, [...connection(50), ...connection(51, 40_001)]), 'no'],
  ['came through the tunnel and then by ssh localhost',
    machineWith({
      100: here, ...shell(ofLoopback), ...sshd, 50: { name: 'ssh', parent: 49 }, 49: { name: 'bash', parent: 48, environ: 'SSH_CONNECTION=127.0.0.1 40001 127.0.0.1 22' },
      48: { name: 'sshd', parent: 60 }, 51: service(HOME),
    }, [...connection(50), ...connection(51, 40_001)]), 'yes'],
  ['came from another machine', machineWith({ 100: here, ...shell('SSH_CONNECTION=192.0.2.1 40000 192.0.2.2 22'), ...sshd, 51: service(HOME) }, connection(51)), 'no'],
  ['is at the console', machineWith({ 100: { ...here, terminal: 'console' }, 90: { name: 'bash', parent: 80 }, 80: { name: 'login', parent: 1 }, 51: service(HOME) }, connection(51)), 'no'],
  ['is a service', machineWith({ 100: { name: 'node', parent: 1 }, 1: sshd[1], 51: service(HOME) }, connection(51)), 'no'],
  ['is in tmux, and somebody is logged in through the tunnel', machineWith({ 100: here, 90: { name: 'tmux: server', parent: 1 }, 51: service(HOME) }, connection(51)), 'perhaps'],
  ['is in tmux, and nobody is logged in through the tunnel', machineWith({ 100: here, 90: { name: 'tmux: server', parent: 1 }, 51: service(HOME) }), 'no'],
  ['is in tmux, and somebody has a web terminal through the tunnel',
    machineWith({ 100: here, 90: { name: 'tmux: server', parent: 1 }, 51: service(HOME), 70: { name: 'nginx', parent: 1 } }, [['127.0.0.1/40000', '127.0.0.1/80', 51], ['127.0.0.1/80', '127.0.0.1/40000', 70]]), 'perhaps'],
  ['is in tmux, and the sshd behind the tunnel has a port of its own',
    machineWith({ 100: here, 90: { name: 'tmux: server', parent: 1 }, 51: service(HOME), ...sshd }, [['127.0.0.1/40000', '127.0.0.1/2222', 51], ['127.0.0.1/2222', '127.0.0.1/40000', 70]]), 'perhaps'],
  ['has outlived its login', machineWith({ 100: { name: 'node', parent: 90 }, 90: { name: 'sh', parent: 1, environ: ofLoopback }, 51: service(HOME) }, connection(51, 40_001)), 'perhaps'],
  ['does not say where it came from', machineWith({ 100: here, 90: { name: 'bash', parent: 70 }, ...sshd, 51: service(HOME) }, connection(51)), 'perhaps'],
  ['came through a program that passes connections on', machineWith({ 100: here, ...shell(ofLoopback), ...sshd, 50: { name: 'sslh', parent: 1, group: '/system.slice/sslh.service' }, 51: service(HOME) }, [...connection(50), ...connection(51, 40_001)]), 'perhaps'],
])('a session that %s', (_name, machine, expected) => {
  test(`is carried: ${expected}`, async () => {
    expect(await carriedBy(machine, '22222:localhost:22')).toBe(expected);
  });
});

async function carriedBy(machine: Machine, ...specs: readonly string[]) {
  const forwards = specs.map((spec) => parseForward(spec.startsWith('-L') ? 'local' : 'remote', spec.replace(/^-L /, '')));
  return carries(machine, await sessionWay(machine, who, forwards), HOME, forwards);
}

const fromLan = { 100: here, ...shell('SSH_CONNECTION=192.168.1.5 40000 192.168.1.2 22'), ...sshd, 51: service(HOME) };
const toLan: Socket = ['192.168.1.2/40000', '192.168.1.5/22', 51];
const fromTheLan: Socket = ['192.168.1.2/22', '192.168.1.5/40000', 70];
const onToLan: Socket = ['192.168.1.2/50000', '192.168.1.5/22', 30];
const unknownPeer = { 100: here, ...shell('SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535'), ...sshd, 51: service(HOME) };
const SOCKET = '/run/ssh-unix-local/socket';
const listening = `Num       RefCount Protocol Flags    Type St Inode Path\n0000000000000000: 00000002 00000000 00010000 0001 01 12345 ${SOCKET}\n`;
const accepted = `${listening}0000000000000000: 00000003 00000000 00000000 0001 03   345 ${SOCKET}\n`;
const inTmux = { 100: here, 90: { name: 'tmux: server', parent: 1 }, 51: service(HOME) } as const;

test.each<[string, Machine, readonly string[], 'perhaps' | 'no']>([
  ['from a machine that the tunnel leads to', machineWith(fromLan, [toLan]), ['22222:192.168.1.5:22'], 'perhaps'],
  ['from another machine, where one chooses through the tunnel where it leads', machineWith(fromLan, [toLan]), ['1080'], 'perhaps'],
  ['from a machine that the tunnel leads to, and nobody is connected', machineWith(fromLan), ['22222:192.168.1.5:22'], 'no'],
  ['from another machine, and somebody else is in by a tunnel that leads to none', machineWith(fromLan, [...connection(51), fromTheLan]), ['22222:127.0.0.1:22'], 'no'],
  ['from a machine that is reached from here, and somebody is in by the tunnel', machineWith(fromLan, [...connection(51), fromTheLan, onToLan]), ['22222:127.0.0.1:22'], 'perhaps'],
  ['from a machine that is reached from here, and nobody is in by the tunnel', machineWith(fromLan, [fromTheLan, onToLan]), ['22222:127.0.0.1:22'], 'no'],
  ['at an sshd behind a Unix socket', machineWith(unknownPeer, [], accepted), [`22222:${SOCKET}`], 'perhaps'],
  ['at an sshd behind a Unix socket that nobody is connected to', machineWith(unknownPeer, [], listening), [`22222:${SOCKET}`], 'no'],
  ['at an sshd behind a pipe, and somebody is connected', machineWith(unknownPeer, connection(51)), ['22222:localhost:22'], 'perhaps'],
  ['in tmux, and somebody here uses the way to the server', machineWith(inTmux, [['127.0.0.1/5432', '127.0.0.1/40000', 51], ['127.0.0.1/40000', '127.0.0.1/5432', 70]]), ['22222:localhost:22', '-L 5432:localhost:5432'], 'no'],
  ['in a terminal of the desktop, and nobody is connected', machineWith({ 100: here, 90: { name: 'xfce4-terminal', parent: 1 }, 51: service(HOME) }), ['22222:192.168.1.5:22', '1080'], 'no'],
])('a session %s', async (_name, machine, specs, expected) => {
  expect(await carriedBy(machine, ...specs)).toBe(expected);
});

test('what an ordinary user may not read of root\'s sudo, the own environment may tell', async () => {
  const machine = machineWith({ 100: here, 90: { name: 'bash', parent: 70 }, ...sshd, 50: service(HOME) }, connection(50));
  expect(await sessionWay(machine, { ...who, env: { SSH_CONNECTION: '127.0.0.1 40000 127.0.0.1 22' } }, [])).toEqual({ through: [HOME], known: true });
});

test('a service that does not run carries nobody', async () => {
  expect(await carries(local, { through: [''], known: false }, '', undefined)).toBe('no');
});

const servers: { close(): void }[] = [];
afterAll(() => servers.forEach((server) => server.close()));

test.each(['127.0.0.1', '::1'])('both ends of a real connection over %s are found, and who holds them', async (host) => {
  const server = createServer().listen(0, host);
  servers.push(server);
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, host);
  await once(client, 'connect');
  try {
    const all = await connectionsHere(local);
    const near = { local: parseEnd(`${host}%lo`, String(client.localPort)), remote: parseEnd(host, String(client.remotePort)) };
    const far = fromTheOtherEnd(all, near)!;
    const back = fromTheOtherEnd(all, far)!;
    expect(back).toMatchObject(near);
    expect([...(await holdersOf(local, [back.inode]))]).toEqual([[back.inode, String(process.pid)]]);
    expect(await isConnectedThrough(local, '/no.service', undefined)).toBe(false);
  } finally {
    client.destroy();
  }
});
