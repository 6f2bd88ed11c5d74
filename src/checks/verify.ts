import type { DialResult, Identity, Machine } from '../machine/machine.ts';
import { formatEndpoint, formatForward, type Forward, isPublic, reachedInside } from '../tunnel/forward.ts';
import { remoteForwards, type Tunnel } from '../tunnel/tunnel.ts';
import { dialTarget, hostKeyOnDisk, localHostKey } from './localTarget.ts';
import { reachableFromOutside, whyRefused } from './outside.ts';
import { bannerThrough, handshakeThrough, type Inner, type Probe, SOCKS_ANSWER } from './throughTunnel.ts';
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
 * - `firewalled`: asked for everyone, and the server listens to everyone, but a firewall rejects them
 * - `made-public`: asked for loopback, but the server (GatewayPorts yes) lets everyone in
 */
export type Finding =
  | 'proven' | 'answered' | 'not-provable' | 'nothing-here' | 'not-permitted-here'
  | 'wrong-machine' | 'silent' | 'no-listener' | 'made-loopback' | 'firewalled' | 'made-public';

export interface Proof {
  /** The forward as ssh's -R spells it. */
  readonly forward: string;
  readonly finding: Finding;
  /** A sentence for a person. */
  readonly says: string;
}

/** Findings that mean the tunnel is not what was asked for. */
const FAULTS: readonly Finding[] = ['not-permitted-here', 'wrong-machine', 'silent', 'no-listener', 'made-loopback', 'firewalled', 'made-public'];

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

async function proveForward(probe: Probe, forward: Forward, isSecond = false): Promise<Proof> {
  const { machine, tunnel, who } = probe;
  const { listen, target } = forward;
  const says = (finding: Finding, text: string): Proof => ({ forward: formatForward(forward), finding, says: text });
  if ('path' in listen) return says('not-provable', `${listen.path} is a socket on the server; ssh cannot be asked to connect to it from here`);
  if (listen.port === 0) return says('not-provable', 'the server chooses the port anew each time');

  const known = await hostKeyOnDisk(machine, target);
  const atOnce = known && (await handshakeThrough(probe, reachedInside(listen), known));
  const here: DialResult = atOnce === 'self' ? { outcome: 'connected', banner: 'SSH-' }
    : target === 'socks' ? { outcome: 'connected', banner: SOCKS_ANSWER } : await dialTarget(machine, target);
  const selfKey = atOnce === 'self' ? known
    : here.outcome === 'connected' && here.banner.startsWith('SSH-') && target !== 'socks' && !('path' in target) ? await localHostKey(probe, target) : undefined;
  const inner = atOnce !== undefined && WHATEVER_THE_KEY.includes(atOnce) ? atOnce
    : selfKey ? await handshakeThrough(probe, reachedInside(listen), selfKey) : await bannerThrough(probe, reachedInside(listen), target, here);
  const at = `${reachedInside(listen).host}:${listen.port} on the server`;
  const local = target === 'socks' ? 'the proxy' : formatEndpoint(target);

  // It has begun to listen since it was dialled; a second look may recognise it.
  if (here.outcome === 'refused' && inner === 'words' && !isSecond) return proveForward(probe, forward, true);
  // What this user may not open, the service may have been given the group for.
  const isForbidden = target !== 'socks' && 'path' in target && here.outcome === 'forbidden';
  if (here.outcome !== 'connected' && !isForbidden && (inner === 'closed' || inner === 'open')) return says('nothing-here', `the tunnel leads here, but nothing listens on ${local}`);
  switch (inner) {
    case 'self': case 'perhaps-self': case 'same-banner': case 'words': case 'open': break;
    case 'other': return says('wrong-machine', `${at} leads to another machine's sshd`);
    case 'closed':
      if (target !== 'socks' && 'path' in target) return says('not-permitted-here', `the service may not open ${local}; ${permission(tunnel, who)}`);
      return says('silent', `${at} accepts connections and closes them at once`);
    case 'unreached': return says('not-provable', `not provable from here: ${tunnel.host} ${UNREACHED}`);
    case 'silent': return says('silent', `${at} accepts connections, but nothing comes through; it may be a dead session of an earlier tunnel`);
    case 'no-listener': return says('no-listener', `nothing listens on ${at}`);
    case 'forbidden':
      if (!isPublic(forward)) return says('not-provable', 'not provable from here: the server does not let this key connect to its own port (permitopen)');
  }

  const outside = await reachableFromOutside(probe, forward, selfKey, here);
  if (isPublic(forward)) {
    if (outside === 'refused') {
      const why = await whyRefused(probe, forward, selfKey, here);
      if (why === 'firewall') return says('firewalled', `only the server itself can reach port ${listen.port}: it listens to everyone, and a firewall rejects them. Open the port there`);
      return says('made-loopback', `only the server itself can reach port ${listen.port}: its GatewayPorts is "no"${why === 'unknown' ? ', or a firewall rejects everyone else' : ''}. Set GatewayPorts clientspecified in its sshd_config, or leave --bind out`);
    }
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

/** A service manager of a user may not add groups to what it starts (systemd.exec(5), SupplementaryGroups=). */
const permission = ({ scope, name }: Tunnel, { userName, uid }: Identity) => (scope === 'user'
  ? `${userName} has to be in the socket's group (sudo usermod -aG GROUP ${userName}), and the service manager to know (sudo systemctl restart user@${uid}.service)`
  : `give it the socket's group with: systemctl edit revtun-${name} (SupplementaryGroups=)`);
