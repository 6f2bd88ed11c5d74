import { formatDestination } from './destination.ts';
import { FORWARD_FLAG, formatForward, type Forward } from './forward.ts';
import { KEEPALIVE_PROBES, type Tunnel } from './tunnel.ts';

/** How long an ssh goes on trying; its own limit for key exchange and login comes on top. */
export interface Patience {
  /** TCP connects, one second apart. */
  readonly attempts: number;
  /** Seconds for one TCP connect to an address, and the banner with it. */
  readonly connectTimeout: number;
}

/** A check tells a person soon, and a slow link does not make it tell a lie. */
export const ONE_TRY: Patience = { attempts: 1, connectTimeout: 10 };

/**
 * While the network is away, ssh connects again every second, and it takes no less than five until it gives up: that is
 * how the service tells this from a refusal, after which it has to wait. Linux sends a SYN again after 1, 3 and 7 s: to
 * begin anew after 5 s leaves no gap longer than 3 s. Behind two jump hosts, a banner comes only after two logins.
 */
const patienceOf = ({ jump }: Tunnel): Patience => ({ attempts: 6, connectTimeout: jump.length > 1 ? 10 : 5 });

/** Seconds for the way through jump hosts, each with its own attempts and login. */
const JUMP_TIMEOUT = 15;

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
 * @param patience the service's own where nothing is said
 */
export function sshConfig(tunnel: Tunnel, knownHosts: string, patience: Patience = patienceOf(tunnel)): string {
  const options: readonly (readonly [string, string])[] = [
    ['BatchMode', 'yes'],
    ['ExitOnForwardFailure', 'yes'],
    ['IdentityFile', '"${CREDENTIALS_DIRECTORY}/key"'],
    ['IdentitiesOnly', 'yes'],
    ['IdentityAgent', 'none'],
    ['AddKeysToAgent', 'no'],
    ['PreferredAuthentications', 'publickey'],
    ['StrictHostKeyChecking', 'yes'],
    // On by default before OpenSSH 8.5, which then complains with each login that it may not note the server's address.
    ['CheckHostIP', 'no'],
    ['UserKnownHostsFile', `"${knownHosts}"`],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['UpdateHostKeys', 'no'],
    ['VerifyHostKeyDNS', 'no'],
    ['ConnectTimeout', String(patience.connectTimeout)],
    ['ConnectionAttempts', String(patience.attempts)],
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

/** The program and arguments of the tunnel itself, a list to the very end; its flags are one word. */
export function tunnelArgv(tunnel: Tunnel, config: string): string[] {
  return [...sshArgv(['-fNTy', ...throughJumps(tunnel)], tunnel, config, tunnel.forwards), '--', destination(tunnel)];
}

/**
 * Flags for a login through jump hosts, as ssh's limit for the banner holds all logins before it. In the argv, because a
 * jump host inherits only the configuration.
 */
export const throughJumps = ({ jump }: Tunnel) => (jump.length === 0 ? [] : ['-o', `ConnectTimeout=${JUMP_TIMEOUT}`]);

/** ssh to the tunnel's server with other flags, forwards and command: what checks connect with. */
export function checkArgv(tunnel: Tunnel, config: string, flags: readonly string[], forwards: readonly Forward[] = [], command: readonly string[] = []): string[] {
  return [...sshArgv(flags, tunnel, config, forwards), '--', destination(tunnel), ...command];
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
