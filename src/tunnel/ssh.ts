import { formatDestination } from './destination.ts';
import { FORWARD_FLAG, formatForward, type Forward } from './forward.ts';
import { KEEPALIVE_PROBES, type Tunnel } from './tunnel.ts';

/** Seconds for TCP connect and banner together; ssh's own limit for key exchange and login comes on top. */
const CONNECT_TIMEOUT = 10;

/** Where the files are that an ssh of ours reads. */
export interface SshFiles {
  /** The configuration made by {@link sshConfig}. */
  readonly config: string;
  readonly knownHosts: string;
}

/**
 * The ssh_config(5) that a tunnel runs with: everything that could come from a user's or a distribution's own
 * configuration is said here, so that nothing outside decides. It stands in a file and not in the unit's argv
 * because a jump host inherits nothing but -F.
 *
 * The key is found through `$CREDENTIALS_DIRECTORY`, which systemd sets for the service (LoadCredential=) and we set
 * for a check by hand; ssh expands it since 8.4. The caller keeps `"`, `%` and `$` out of `knownHosts`.
 */
export function sshConfig(tunnel: Tunnel, knownHosts: string): string {
  const options: readonly (readonly [string, string])[] = [
    ['BatchMode', 'yes'],
    ['ExitOnForwardFailure', 'yes'],
    ['IdentityFile', '"${CREDENTIALS_DIRECTORY}/key"'],
    ['IdentitiesOnly', 'yes'],
    ['IdentityAgent', 'none'],
    ['AddKeysToAgent', 'no'],
    ['PreferredAuthentications', 'publickey'],
    ['StrictHostKeyChecking', 'yes'],
    ['UserKnownHostsFile', `"${knownHosts}"`],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['UpdateHostKeys', 'no'],
    ['VerifyHostKeyDNS', 'no'],
    ['ConnectTimeout', String(CONNECT_TIMEOUT)],
    ['ConnectionAttempts', '1'],
    ['ServerAliveInterval', String(tunnel.keepalive)],
    ['ServerAliveCountMax', String(KEEPALIVE_PROBES)],
    ['TCPKeepAlive', 'yes'],
    ['ControlMaster', 'no'],
    ['ControlPath', 'none'],
    ['PermitLocalCommand', 'no'],
    ['ForwardAgent', 'no'],
    ['ForwardX11', 'no'],
    ['Tunnel', 'no'],
    ['Compression', 'no'],
    ['StreamLocalBindUnlink', 'yes'],
    ['LogLevel', 'INFO'],
    ...(tunnel.ciphers === 'default' ? [] : [['Ciphers', tunnel.ciphers] as const]),
  ];
  return `Host *\n${options.map(([keyword, value]) => `    ${keyword} ${value}\n`).join('')}`;
}

/** The program and arguments of the tunnel itself, a list to the very end. */
export function tunnelArgv(tunnel: Tunnel, config: string): string[] {
  return [...sshArgv(['-fNTy'], tunnel, config, tunnel.forwards), '--', destination(tunnel)];
}

/** ssh to the tunnel's server with other flags and forwards: what checks connect with. */
export function checkArgv(tunnel: Tunnel, config: string, flags: readonly string[], forwards: readonly Forward[] = []): string[] {
  return [...sshArgv(flags, tunnel, config, forwards), '--', destination(tunnel)];
}

function sshArgv(flags: readonly string[], tunnel: Tunnel, config: string, forwards: readonly Forward[]): string[] {
  return [
    SSH,
    ...flags,
    '-F', config,
    ...(tunnel.jump.length === 0 ? [] : ['-J', jumpChain(tunnel)]),
    ...forwards.flatMap((forward) => [FORWARD_FLAG[forward.kind], formatForward(forward)]),
    '-p', String(tunnel.port),
  ];
}

/**
 * The argument of -J. ssh puts it into a ProxyCommand, whose % it expands, and the ssh that this starts does the same
 * with the rest of the chain: the % of a link-local address (fe80::1%eth0) has to outlive one expansion a hop.
 */
function jumpChain({ jump }: Tunnel): string {
  return jump.map((hop, index) => formatDestination(hop).replaceAll('%', '%'.repeat(2 ** (jump.length - index)))).join(',');
}

const destination = (tunnel: Tunnel) => `${tunnel.user}@${tunnel.host}`;

/** Where every distribution that we support keeps it; a unit must name its programs by absolute path. */
export const SSH = '/usr/bin/ssh';
