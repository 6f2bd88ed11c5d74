import { isIP } from 'node:net';
import type { DialResult } from '../machine/machine.ts';
import { type Forward, isLoopback } from '../tunnel/forward.ts';
import { isDeviceAccount } from '../tunnel/tunnel.ts';
import type { HostKey } from './hostKey.ts';
import { bannerThrough, handshakeThrough, type Inner, type Probe, showsKey } from './throughTunnel.ts';

/** What others than the server meet at its port. */
export type Outside = 'self' | 'open' | 'refused' | 'unknown';

/**
 * Dials the server's own address from here. That tells something only when the way from here to the server is one
 * that everyone has: not on one machine. Through a jump host, the server itself is let dial it.
 * @param self the host key of this machine's own sshd, where that is what the forward leads to
 */
export async function reachableFromOutside(probe: Probe, { listen }: Forward, self: HostKey | undefined, here: DialResult): Promise<Outside> {
  const { machine, tunnel } = probe;
  if (isLoopback(tunnel.host) || 'path' in listen) return 'unknown';
  const host = publicHost(probe, listen);
  if (tunnel.jump.length > 0) return self ? reachableFromItself(probe, { host, port: listen.port }, self) : 'unknown';
  const dialled = await machine.dial({ host, port: listen.port }, 2000);
  if (dialled.outcome === 'refused') return 'refused';
  if (dialled.outcome !== 'connected') return 'unknown';
  if (self) return (await showsKey(probe, { ...tunnel, host, port: listen.port }, self)) === 'matches' ? 'self' : 'open';
  return here.outcome === 'connected' && dialled.banner === here.banner && here.banner !== '' ? 'self' : 'open';
}

/** The server dials its own address. Its name often leads to its loopback there (/etc/hosts), which tells nothing of others. */
async function reachableFromItself(probe: Probe, end: { readonly host: string; readonly port: number }, self: HostKey): Promise<Outside> {
  const seen = await handshakeThrough(probe, end, self);
  if (seen === 'no-listener') return 'refused';
  if (seen !== 'self') return 'unknown';
  if (isIP(end.host) !== 0) return 'self';
  for (const address of await publicAddresses(probe, end.host)) {
    if ((await handshakeThrough(probe, { ...end, host: address }, self)) === 'self') return 'self';
  }
  return 'unknown';
}

/**
 * Why a public port is refused to all but the server itself: because it listens to nobody else, or a firewall rejects them.
 * The server dials its public address: its own packets meet no firewall on the way, but a listener that GatewayPorts has
 * moved is not there.
 */
export async function whyRefused(probe: Probe, { listen, target }: Forward, self: HostKey | undefined, here: DialResult): Promise<'listener' | 'firewall' | 'unknown'> {
  // Its Match block says GatewayPorts clientspecified.
  if (isDeviceAccount(probe.tunnel.user)) return 'firewall';
  if ('path' in listen) return 'unknown';
  const seen: Inner[] = [];
  for (const address of await publicAddresses(probe, publicHost(probe, listen))) {
    const end = { host: address, port: listen.port };
    const met = self ? await handshakeThrough(probe, end, self) : await bannerThrough(probe, end, target, here);
    if (met === 'self' || met === 'perhaps-self' || met === 'same-banner') return 'firewall';
    seen.push(met);
  }
  return seen.length > 0 && seen.every((met) => met === 'no-listener') ? 'listener' : 'unknown';
}

/** The address that was asked for, or the server's own where that is any. */
const publicHost = ({ tunnel }: Probe, { host }: { readonly host?: string }) =>
  (host !== undefined && !['*', '0.0.0.0', '::'].includes(host) && !isLoopback(host) ? host : tunnel.host);

/** As this machine resolves it: at the server itself, its name may lead to its loopback. Of a listener for one address family, one is not enough. */
async function publicAddresses({ machine }: Probe, host: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  const { stdout } = await machine.run(['getent', 'ahosts', '--', host], { timeoutMs: 5000 });
  const addresses = new Set(stdout.split('\n').map((row) => row.split(/\s/)[0] ?? ''));
  return [...addresses].filter((address) => isIP(address) !== 0 && !isLoopback(address));
}
