import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { spawnRunning } from '../lab/child.ts';
import type { Release } from '../lab/disk.ts';
import type { Host } from '../lab/host.ts';
import { type Lab, startLab } from '../lab/hosts.ts';
import { freshFolder } from '../lab/paths.ts';
import { waitFor } from '../lab/waitFor.ts';
import type { Moment } from './agent.ts';
import { agentProgram, type Measurer, talkTo } from './measurer.ts';

/** What goes through a tunnel: 10 kB/s both ways all the time, or nothing. */
export type Traffic = 'busy' | 'idle';
export const TRAFFICS: readonly Traffic[] = ['busy', 'idle'];

/** One of a pair's two tunnels. */
export interface BenchTunnel {
  readonly traffic: Traffic;
  /** On the server. */
  readonly port: number;
  /** Whom it logs in as. */
  readonly account: string;
  /** The device's unit. */
  readonly unit: string;
}

/** A device behind NAT and a server in a lab of their own. */
export interface Pair {
  readonly lab: Lab<'device' | 'server'>;
  readonly device: Host;
  readonly server: Host;
  /** In the server's network, but not on the server: it sees a reboot through. */
  readonly agent: Measurer;
  /** Of the device's root. */
  readonly publicKey: string;
  readonly fingerprint: string;
}

/** Where the device has what both tunnels lead to, and what that says first. */
export const TARGET = { port: 9000, banner: 'a device that is reached' } as const;

/** IPv4 alone: IPv6 knows no NAT, and would not notice that the router's address has changed. */
export const SERVER_ADDRESS = 'server4.test';

/** The same clock as the agent's: milliseconds of CLOCK_MONOTONIC. */
export const now = (): Moment => Number(process.hrtime.bigint()) / 1e6;

/** Boots both; the device's root has a key that the server's pi accepts, and knows the server's host key. */
export async function makePair(releases: { readonly device: Release; readonly server: Release }): Promise<Pair> {
  const lab = await startLab({ device: { side: 'nat', release: releases.device, on: false }, server: { release: releases.server, on: false } });
  // A look at a network's sockets walks its whole table: milliseconds, where the table is the machine's own (Linux 6.1 or newer can help).
  await lab.sandbox.run(['sh', '-c', 'echo 64 > /proc/sys/net/ipv4/tcp_child_ehash_entries']);
  const { device, server } = lab.hosts;
  await Promise.all([device.powerOn(), server.powerOn()]);
  await device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/.ssh/id_ed25519']);
  const publicKey = (await device.readFile('/root/.ssh/id_ed25519.pub')).trim();
  await server.authorizeKey('pi', publicKey);
  await device.writeFile('/root/.ssh/known_hosts', await server.knownHostsLine(SERVER_ADDRESS), { mode: 0o600 });
  await device.writeFile('/srv/bench/target.mjs', targetProgram);
  await device.writeFile('/etc/systemd/system/bench-target.service', targetUnit);
  await device.succeed(['systemctl', 'enable', '--now', '--quiet', 'bench-target.service']);

  const program = join(freshFolder(), 'agent.mjs');
  writeFileSync(program, await agentProgram());
  const agent = talkTo(spawnRunning(lab.sandbox.enter(['ip', 'netns', 'exec', 'server', process.execPath, program])), 'server');
  return { lab, device, server, agent, publicKey, fingerprint: await server.hostKeyFingerprint() };
}

const targetProgram = `import { createServer } from 'node:net';
const portion = Buffer.alloc(1000, 'x');
createServer((socket) => {
  socket.write(${JSON.stringify(`${TARGET.banner}\n`)});
  const beat = setInterval(() => { if (socket.writableLength < 64 * portion.length) socket.write(portion); }, 100);
  socket.resume();
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.destroy());
  socket.on('close', () => clearInterval(beat));
}).listen(${TARGET.port}, '::');
`;

const targetUnit = `[Service]
ExecStart=/usr/bin/env node /srv/bench/target.mjs
[Install]
WantedBy=multi-user.target
`;

/** Pids, as this process sees them, of what runs in a unit of a host: the processes below the cgroup of that name. */
export function processesOf(pair: Pair, host: 'device' | 'server', unit: string): number[] {
  const found: number[] = [];
  const visit = (folder: string, inside: boolean) => {
    if (inside) found.push(...readText(join(folder, 'cgroup.procs')).split('\n').filter(Boolean).map(Number));
    for (const { name } of folders(folder)) visit(join(folder, name), inside || name === unit);
  };
  visit(pair.lab.sandbox.cgroup(host), false);
  return found;
}

const folders = (folder: string) => (existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : []);

/** The ssh that is a tunnel's, and not a helper's that some units start before it. */
export const sshOf = (pair: Pair, { unit }: BenchTunnel) => processesOf(pair, 'device', unit).filter((pid) => commandOf(pid) === 'ssh');

/** The server's processes that are an account's own (not root's share of each session). */
export function sessionsOf(pair: Pair, uid: number): number[] {
  return processesOf(pair, 'server', `user-${uid}.slice`).filter((pid) => {
    const owner = /^Uid:\t(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1];
    return Number(owner) === uid && commandOf(pid).startsWith('sshd');
  });
}

const commandOf = (pid: number) => readText(`/proc/${pid}/comm`).trim();

/** Inode of the device's end of a tunnel's connection, as long as the connection stands. */
export function connectionOf(pair: Pair, tunnel: BenchTunnel): string | undefined {
  for (const pid of sshOf(pair, tunnel)) {
    const sockets = new Set(links(`/proc/${pid}/fd`).flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
    for (const table of ['tcp', 'tcp6']) {
      for (const line of readText(`/proc/${pid}/net/${table}`).split('\n')) {
        const [, , remote, state, , , , , , inode] = line.trim().split(/\s+/);
        if (state === ESTABLISHED && remote?.endsWith(':0016') && inode !== undefined && sockets.has(inode)) return inode;
      }
    }
  }
  return undefined;
}

const ESTABLISHED = '01';

function links(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => readlinkSync(join(folder, basename(name))));
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** When a unit of a host last became active. */
export async function activeSince(host: Host, unit: string): Promise<Moment> {
  const microseconds = (await host.succeed(['systemctl', 'show', '-p', 'ActiveEnterTimestampMonotonic', '--value', unit])).trim();
  if (!/^[1-9]\d*$/.test(microseconds)) throw new Error(`${unit} is not active on ${host.name}`);
  return Number(microseconds) / 1000;
}

export async function uidOf(host: Host, account: string): Promise<number> {
  return Number((await host.succeed(['id', '-u', account])).trim());
}

/** Ends an account's sessions on the server from one moment to the next. */
export function endSessions(pair: Pair, uid: number): void {
  for (const pid of sessionsOf(pair, uid)) process.kill(pid, 'SIGKILL');
}

/** Resolves when a tunnel works. */
export async function untilUp({ agent }: Pair, { port, traffic }: BenchTunnel, timeoutMs: number): Promise<void> {
  const watch = { port, banner: TARGET.banner, before: undefined, dialOld: 'often', timeoutMs } as const;
  if ((await agent.call('untilRecovered', watch)) === null) throw new Error(`the ${traffic} tunnel is not up after ${timeoutMs} ms`);
  if (traffic === 'busy') await waitFor(() => agent.call('isTrickling', port), { timeoutMs: 20_000, what: 'the trickle' });
}
