import { formatDestination, type Destination } from '../tunnel/destination.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';

/** How far an ssh has come towards one host, by its own account (`ssh -v`; the same words in OpenSSH 8.4, 9.2 and 10.0). */
export interface Leg {
  readonly hop: Destination;
  /** As messages call it. */
  readonly name: string;
  /** The jump host that connects to it; undefined where this machine does. */
  readonly by: Destination | undefined;
  /** The address that this machine connected to. */
  readonly address: string | undefined;
  /** As the server calls itself, once its first line has come: `OpenSSH_9.2p1 Debian-2`. */
  readonly software: string | undefined;
  /** What the server showed: `ssh-ed25519 SHA256:…`. */
  readonly hostKey: string | undefined;
  /** The key exchange is over. */
  readonly encrypted: boolean;
  readonly authenticated: boolean;
  /** What was said on this leg. */
  readonly said: string;
}

/** The hosts that an ssh logs in to, in order; the last is the server. */
export const hopsOf = (tunnel: Pick<Tunnel, 'jump' | 'host' | 'user' | 'port'>): readonly Destination[] =>
  [...tunnel.jump, { host: tunnel.host, user: tunnel.user, port: tunnel.port }];

/** What messages call a hop: without the account, which the network knows nothing of. */
export const nameOf = ({ host, port }: Destination) => formatDestination({ host, ...(port !== undefined && port !== 22 && { port }) });

/** The same with the account, where it is that which counts. */
export const loginOf = ({ host, user, port }: Destination) =>
  formatDestination({ host, ...(user !== undefined && { user }), ...(port !== undefined && port !== 22 && { port }) });

/** The legs that were begun. Each ends with the login that the next one goes through. */
export function legsOf(tunnel: Pick<Tunnel, 'jump' | 'host' | 'user' | 'port'>, said: string): readonly Leg[] {
  const parts = said.split(/^Authenticated to .*$/m);
  const hops = hopsOf(tunnel);
  return hops.slice(0, parts.length).map((hop, index): Leg => {
    const part = parts[index] ?? '';
    return {
      hop,
      name: nameOf(hop),
      by: hops[index - 1],
      address: /^debug1: Connecting to \S+ \[([^\]]+)\] port/m.exec(part)?.[1],
      software: /^debug1: Remote protocol version [\d.]+, remote software version (.*?)\s*$/m.exec(part)?.[1],
      hostKey: /^debug1: Server host key: (\S+ \S+)/m.exec(part)?.[1],
      encrypted: /^debug1: SSH2_MSG_NEWKEYS received/m.test(part),
      authenticated: index < parts.length - 1,
      // What follows the last login is the server's as well.
      said: index === hops.length - 1 ? parts.slice(index).join('\n') : part,
    };
  });
}

/** Without the lines that are for debugging: what a person would have been told. */
export const plainWords = (said: string) => said.split(/\r?\n/).filter((line) => !/^debug\d: /.test(line)).join('\n');
