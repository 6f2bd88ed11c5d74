import { setTimeout as sleep } from 'node:timers/promises';
import type { DialResult, Identity, Machine } from '../machine/machine.ts';
import { addressOf, LISTENS } from '../machine/procNet.ts';
import { knownHostsName } from '../tunnel/destination.ts';
import { type Endpoint, formatEndpoint, formatForward, type Forward, isLoopback, isPublic, reachedInside } from '../tunnel/forward.ts';
import { remoteForwards, type Tunnel } from '../tunnel/tunnel.ts';
import { fetchHostKey, type HostKey } from './hostKey.ts';
import { listeningPorts } from './listening.ts';
import { recognise } from './sshFailure.ts';
import type { Workbench } from './workbench.ts';

/**
 * What a connection through a forward showed.
 * - `proven`: it came back to this very machine (its sshd's host key, or its own connection seen here)
 * - `answered`: what answers says the same as the local target, which is no proof of which machine it is
 * - `not-provable`: the server does not allow the probe; nothing is known against it
 * - `nothing-here`: the tunnel leads here, but nothing listens at the local target
 * - `not-permitted-here`: the local target is a socket that the service's user may not open
 * - `wrong-machine`: another sshd answers at the port
 * - `silent`: the port is open, but nothing comes through
 * - `no-listener`: nothing listens at the server's port
 * - `made-loopback`: asked for everyone, but the server (GatewayPorts no) lets only itself in
 * - `made-public`: asked for loopback, but the server (GatewayPorts yes) lets everyone in
 */
export type Finding =
  | 'proven' | 'answered' | 'not-provable' | 'nothing-here' | 'not-permitted-here'
  | 'wrong-machine' | 'silent' | 'no-listener' | 'made-loopback' | 'made-public';

export interface Proof {
  /** The forward as ssh's -R spells it. */
  readonly forward: string;
  readonly finding: Finding;
  /** A sentence for a person. */
  readonly says: string;
}

/** Findings that mean the tunnel is not what was asked for. */
const FAULTS: readonly Finding[] = ['not-permitted-here', 'wrong-machine', 'silent', 'no-listener', 'made-loopback', 'made-public'];

export const isFault = ({ finding }: Proof) => FAULTS.includes(finding);

/** The server did not let the probe in. It may do so later, as nothing but the probe was turned away. */
export const isUnreached = ({ finding, says }: Proof) => finding === 'not-provable' && says.includes(UNREACHED);

const UNREACHED = 'did not take the second login that the proof needs';

/**
 * Tries every remote forward from the server's side: through a login of its own with the tunnel's key, as anyone
 * with `ssh -J` would. Changes nothing.
 */
export async function proveTunnel(machine: Machine, who: Identity, tunnel: Tunnel, bench: Workbench, pinned: readonly string[]): Promise<Proof[]> {
  const proofs: Proof[] = [];
  for (const forward of remoteForwards(tunnel)) {
    proofs.push(await proveForward({ machine, who, tunnel, bench, pinned }, forward));
  }
  return proofs;
}

export interface Probe {
  readonly machine: Machine;
  readonly who: Identity;
  readonly tunnel: Tunnel;
  readonly bench: Workbench;
  readonly pinned: readonly string[];
}

/** Milliseconds that an answer through the tunnel may take. */
const PATIENCE = 5000;

async function proveForward(probe: Probe, forward: Forward): Promise<Proof> {
  const { machine, tunnel } = probe;
  const { listen, target } = forward;
  const says = (finding: Finding, text: string): Proof => ({ forward: formatForward(forward), finding, says: text });
  if ('path' in listen) return says('not-provable', `${listen.path} is a socket on the server; ssh cannot be asked to connect to it from here`);
  if (listen.port === 0) return says('not-provable', 'the server chooses the port anew each time');

  const known = await hostKeyOnDisk(machine, target);
  const atOnce = known && (await handshakeThrough(probe, reachedInside(listen), known));
  const here: DialResult = atOnce === 'self' ? { outcome: 'connected', banner: 'SSH-' }
    : target === 'socks' ? { outcome: 'connected', banner: '' } : await machine.dial(dialable(target), 2000);
  const selfKey = atOnce === 'self' ? known
    : here.outcome === 'connected' && here.banner.startsWith('SSH-') && target !== 'socks' && !('path' in target) ? await localHostKey(probe, target) : undefined;
  const inner = atOnce !== undefined && WHATEVER_THE_KEY.includes(atOnce) ? atOnce
    : target !== 'socks' && selfKey ? await handshakeThrough(probe, reachedInside(listen), selfKey) : await bannerThrough(probe, reachedInside(listen), here);
  const at = `${reachedInside(listen).host}:${listen.port} on the server`;
  const local = target === 'socks' ? 'the proxy' : formatEndpoint(target);

  if (here.outcome !== 'connected' && (inner === 'closed' || inner === 'open')) return says('nothing-here', `the tunnel leads here, but nothing listens on ${local}`);
  switch (inner) {
    case 'self': break;
    case 'same-banner': break;
    case 'open': break;
    case 'other': return says('wrong-machine', `${at} leads to another machine's sshd`);
    case 'closed':
      if (target !== 'socks' && 'path' in target) return says('not-permitted-here', `the service may not open ${local}; give it the socket's group with: systemctl edit revtun-${tunnel.name} (SupplementaryGroups=)`);
      return says('silent', `${at} accepts connections and closes them at once`);
    case 'unreached': return says('not-provable', `not provable from here: ${tunnel.host} ${UNREACHED}`);
    case 'silent': return says('silent', `${at} accepts connections, but nothing comes through; it may be a dead session of an earlier tunnel`);
    case 'no-listener': return says('no-listener', `nothing listens on ${at}`);
    case 'forbidden':
      if (!isPublic(forward)) return says('not-provable', 'not provable from here: the server does not let this key connect to its own port (permitopen)');
  }

  const outside = await reachableFromOutside(probe, forward, selfKey, here);
  if (isPublic(forward)) {
    if (outside === 'refused') return says('made-loopback', `only the server itself can reach port ${listen.port}: its GatewayPorts is "no". Set GatewayPorts clientspecified in its sshd_config, or leave --bind out`);
    if (outside === 'unknown') return says(inner === 'self' ? 'answered' : 'not-provable', `${at} works, but whether everyone reaches it is not provable from here (a firewall may be in between)`);
    return says(outside === 'self' && tunnel.jump.length === 0 ? 'proven' : 'answered', `${tunnel.host}:${listen.port} leads here, for everyone`);
  }
  if (outside === 'self') return says('made-public', `everyone can reach ${tunnel.host}:${listen.port}: the server's GatewayPorts is "yes". Set it to no or clientspecified in its sshd_config`);
  if (inner === 'self') return says('proven', `a connection to ${at} came back to this machine`);
  if (inner === 'same-banner') return says('answered', `${at} answers as ${local} does`);
  return says('answered', `${at} accepts connections for ${local}`);
}

/** What a handshake shows that another host key would not change. */
const WHATEVER_THE_KEY: readonly Inner[] = ['self', 'unreached', 'forbidden', 'no-listener', 'silent', 'closed'];

/**
 * The host key that this machine's own sshd has, as a rule. Where it is the one that comes out of the tunnel, sshd here need not
 * be asked for it: OpenSSH 9.8 and newer hold each connection that does not log in against its address (sshd_config(5),
 * PerSourcePenalties), and everyone who comes through the tunnel has the same.
 */
export async function hostKeyOnDisk(machine: Machine, target: Forward['target']): Promise<HostKey | undefined> {
  if (target === 'socks' || 'path' in target || target.port !== 22 || (target.host ?? 'localhost') !== 'localhost') return undefined;
  if (!(await listeningPorts(machine)).some(({ port }) => port === target.port)) return undefined;
  const [type, blob] = (await machine.read('/etc/ssh/ssh_host_ed25519_key.pub').catch(() => undefined))?.toString().trim().split(/\s+/) ?? [];
  return type === 'ssh-ed25519' && blob !== undefined ? { type, blob } : undefined;
}

export type Inner = 'self' | 'same-banner' | 'open' | 'other' | 'closed' | 'silent' | 'no-listener' | 'forbidden' | 'unreached';

export const dialable = (target: Endpoint) => ('path' in target ? target : { host: target.host ?? 'localhost', port: target.port });

/** An ssh to the far end through the server, jump hosts included; it never logs in. */
export async function handshakeThrough(probe: Probe, end: { host: string; port: number }, self: HostKey): Promise<Inner> {
  const { tunnel } = probe;
  const through = { ...tunnel, jump: [...tunnel.jump, { host: tunnel.host, user: tunnel.user, port: tunnel.port }] };
  const stderr = await showsKey(probe, { ...through, host: end.host, port: end.port }, self);
  if (stderr === 'matches') return 'self';
  if ((stderr.match(/Authenticated to /g)?.length ?? 0) < through.jump.length) return 'unreached';
  if (/administratively prohibited/.test(stderr)) return 'forbidden';
  if (/open failed: connect failed/.test(stderr)) return 'no-listener';
  if (/HOST IDENTIFICATION HAS CHANGED|strict checking|Host key verification failed/.test(stderr)) return 'other';
  if (/banner exchange: Connection to \S+ port \S+ timed out|timed out during banner/i.test(stderr)) return 'silent';
  return recognise(stderr)?.id === 'server-closed' ? 'closed' : 'silent';
}

/** Ends as soon as ssh has checked the host key: nobody's log shows a failed login. */
async function showsKey({ bench, who, pinned }: Probe, to: Tunnel, self: HostKey): Promise<string> {
  const name = knownHostsName(to.host, to.port);
  await bench.pin([...pinned, `${name} ${self.type} ${self.blob}`]);
  const algorithms = self.type === 'ssh-rsa' ? 'rsa-sha2-512,rsa-sha2-256' : self.type;
  const matches = (said: string) => said.includes(`Host '${name}' is known and matches`);
  const { stderr, timedOut } = await bench.ssh(
    { ...to, user: who.userName },
    ['-v', '-N', '-T', '-o', 'PreferredAuthentications=none', '-o', `HostKeyAlgorithms=${algorithms}`, '-o', `ConnectTimeout=${PATIENCE / 1000}`],
    [],
    { timeoutMs: PATIENCE * 2, stopWhen: matches },
  );
  await bench.pin(pinned);
  if (matches(stderr)) return 'matches';
  return timedOut ? `${stderr}\ntimed out during banner exchange` : stderr;
}

/** The host key of the sshd that the forward leads to, asked directly. */
export async function localHostKey({ machine, bench, tunnel, who }: Probe, target: { readonly host?: string; readonly port: number }): Promise<HostKey | undefined> {
  try {
    return await fetchHostKey(machine, { ...tunnel, jump: [], host: target.host ?? 'localhost', port: target.port, user: who.userName }, bench);
  } catch {
    return undefined;
  }
}

/** For what is no sshd: opens the port by `ssh -W`, sees the connection arrive here, and compares what it says. */
export async function bannerThrough({ machine, bench, tunnel }: Probe, end: { host: string; port: number }, here: DialResult): Promise<Inner> {
  // Where nothing answers, nothing can arrive; and the port's number alone may be that of the server's own sshd.
  const address = here.outcome === 'connected' ? here.address : undefined;
  const before = address === undefined ? new Set() : await connectionsTo(machine, address);
  const hasArrived = async () => address !== undefined && [...(await connectionsTo(machine, address))].some((connection) => !before.has(connection));
  const done = new AbortController();
  const opened = bench.ssh(tunnel, ['-T', '-W', formatEndpoint(end)], [], {
    holdInput: true, timeoutMs: PATIENCE * 2, signal: done.signal,
    stopWhen: (_stderr, stdout) => stdout !== '',
  }).finally(() => done.abort());
  // It may be ended by a signal while we look elsewhere; what it throws is met below.
  opened.catch(() => undefined);
  for (let waited = 0; waited < PATIENCE && !done.signal.aborted && !(await hasArrived()); waited += 100) await sleep(100);
  const arrived = await hasArrived();
  done.abort();
  const { stderr, stdout, stopped } = await opened;
  if (/administratively prohibited/.test(stderr)) return 'forbidden';
  if (/open failed: connect failed/.test(stderr)) return 'no-listener';
  if (arrived) return 'self';
  if (stdout === '' && recognise(stderr) !== undefined) return 'unreached';
  if (stdout !== '') return here.outcome === 'connected' && here.banner === stdout ? 'same-banner' : 'open';
  return stopped ? 'open' : 'closed';
}

/** TCP connections with that address and port at either end, closing ones included (proc(5), /proc/net/tcp). */
async function connectionsTo(machine: Machine, { host, port }: { readonly host: string; readonly port: number }): Promise<Set<string>> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => machine.read(path)));
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const isThere = (hex: string) => hex.endsWith(end) && addressOf(hex.slice(0, -end.length)) === host;
  const rows = tables.flatMap((table) => (table?.toString() ?? '').split('\n')).map((line) => line.trim().split(/\s+/));
  return new Set(rows.flatMap(([, here = '', there = '', state]) => (state !== LISTENS && (isThere(here) || isThere(there)) ? [`${here} ${there}`] : [])));
}

/**
 * Dials the server's own address from here. That tells something only when the way from here to the server is one
 * that everyone has: not through a jump host, not on one machine.
 */
async function reachableFromOutside(probe: Probe, { listen }: Forward, self: HostKey | undefined, here: DialResult): Promise<'self' | 'open' | 'refused' | 'unknown'> {
  const { machine, tunnel } = probe;
  if (isLoopback(tunnel.host) || 'path' in listen) return 'unknown';
  if (tunnel.jump.length > 0) {
    const seen = self ? await handshakeThrough(probe, { host: tunnel.host, port: listen.port }, self) : 'unreached';
    return seen === 'self' ? 'self' : seen === 'no-listener' ? 'refused' : 'unknown';
  }
  const host = listen.host !== undefined && !['*', '0.0.0.0', '::'].includes(listen.host) && !isLoopback(listen.host) ? listen.host : tunnel.host;
  const dialled = await machine.dial({ host, port: listen.port }, 2000);
  if (dialled.outcome === 'refused') return 'refused';
  if (dialled.outcome !== 'connected') return 'unknown';
  if (self) return (await showsKey(probe, { ...tunnel, host, port: listen.port }, self)) === 'matches' ? 'self' : 'open';
  return here.outcome === 'connected' && dialled.banner === here.banner && here.banner !== '' ? 'self' : 'open';
}
