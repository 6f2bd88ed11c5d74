import { ExitCode, ExpectedError, failed } from '../errors.ts';
import { type Forward, formatForward } from '../tunnel/forward.ts';
import { deviceOf } from '../server/device.ts';
import { throughJumps } from '../tunnel/ssh.ts';
import { authorizedKeysLine, isDeviceAccount, remoteForwards, serverOf, type Tunnel } from '../tunnel/tunnel.ts';
import { type Leg, legsOf, loginOf } from './journey.ts';
import { refusalBy } from './holder.ts';
import { loginFailure } from './loginFailure.ts';
import type { Probe } from './throughTunnel.ts';
import type { Workbench } from './workbench.ts';

export interface TrialResult {
  /** Loopback listeners that the server's GatewayPorts makes public, as it said itself. */
  readonly exposed: readonly string[];
}

export interface Attempt extends TrialResult {
  /** All that `ssh -v` said. */
  readonly said: string;
  /** Why it was not let in, or was refused a forward. */
  readonly failure: ExpectedError | undefined;
  /** The forward that the server refused. */
  readonly refused?: Forward | undefined;
}

/**
 * Logs in with the service's own configuration and asks for the remote forwards, for a moment: what the server would
 * refuse the service, it refuses now, and with `ssh -v` says more of the cause than it ever does in a journal.
 * @param held specs that the installed tunnel holds right now, and that would therefore collide with themselves
 * @throws ExpectedError
 */
export async function tryTunnel(probe: Probe, publicKey: string, held: ReadonlySet<string>): Promise<TrialResult> {
  const { tunnel, bench } = probe;
  const first = await attemptTunnel(tunnel, publicKey, bench, held);
  const { refused } = first;
  const failure = first.failure?.id === 'port-taken' && refused ? await refusalBy(probe, first.failure, refused) : first.failure;
  if (failure) throw failure;
  if (!first.failure) return { exposed: first.exposed };
  // Whoever had the port has gone meanwhile.
  const second = await attemptTunnel(tunnel, publicKey, bench, held);
  if (second.failure) throw second.failure;
  return { exposed: second.exposed };
}

/** Refusals of a port that somebody has, whoever it is. */
export const isTaken = ({ id }: ExpectedError) => ['port-taken', 'port-held', 'port-mine', 'two-devices'].includes(id);

/** Of these, what may be ended without a word: a dead session, or who was not seen to be alive. This session may have come through `port-mine`. */
export const isReleasable = ({ id }: ExpectedError) => ['port-taken', 'port-held'].includes(id);

/** What the tunnel's own service may bring about while it comes up, by taking its port or by ending other sessions of its account. */
export const mayBeOfTheService = (error: ExpectedError) => isTaken(error) || ['login-closed', 'server-closed', 'forward-refused', 'ssh-failed'].includes(error.id);

/** The same, with the failure as a value, beside what came before it. */
export async function attemptTunnel(tunnel: Tunnel, publicKey: string, bench: Workbench, held: ReadonlySet<string>): Promise<Attempt> {
  const forwards = remoteForwards(tunnel).filter((forward) => 'port' in forward.listen && !held.has(formatForward(forward)));
  const { stderr: said, stopped, timedOut } = await bench.ssh(tunnel, ['-v', '-N', '-T', ...throughJumps(tunnel)], forwards, {
    timeoutMs: bench.limit,
    stopWhen: (words) => (forwards.length === 0 ? hasEntered(words, tunnel) : count(words, /remote forward success for: listen/g) >= forwards.length),
  });
  const exposed = [...said.matchAll(/Forwarding listen address "([^"]*)" overridden by server GatewayPorts/g)].map(([, address]) => address ?? '');
  if (stopped) return { said, exposed, failure: undefined };
  if (/remote port forwarding failed/.test(said)) return { said, exposed, ...forwardRefused(tunnel, forwards, publicKey, said) };
  const failure = await loginFailure(bench.machine, tunnel, said, timedOut);
  return { said, exposed, failure: failure.id === 'key-refused' ? keyRefused(tunnel, legsOf(tunnel, said), publicKey, failure) : failure };
}

/** The error of a tunnel that would let in more than was asked for. */
export const madePublic = (tunnel: Tunnel, exposed: readonly string[]) => failed(
  'made-public',
  `${serverOf(tunnel)} would let everyone reach the port: its GatewayPorts is "yes", which overrides ${exposed.join(', ')}.`,
  "Set GatewayPorts to no or clientspecified in its sshd_config, or ask for what it does: --bind '*' --accept-risk=public",
);

const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;

/** A session without remote forwards says this when login is done and local listeners stand; so does the way through each jump host. */
const hasEntered = (words: string, { jump }: Tunnel) => count(words, /Entering interactive session/g) > jump.length;

/** The server, or a jump host, does not let this key in: only a person can change that. */
function keyRefused(tunnel: Tunnel, legs: readonly Leg[], publicKey: string, error: ExpectedError): ExpectedError {
  const behind = [...tunnel.jump.slice(legs.length), tunnel][0]!;
  if (legs.length <= tunnel.jump.length) {
    const { hop } = legs.at(-1)!;
    return new ExpectedError(
      ExitCode.personNeeded, 'key-refused', error.message,
      `Append this line to ~/.ssh/authorized_keys at the jump host ${loginOf(hop)}, then run this again:\nrestrict,port-forwarding,permitopen="${behind.host}:${behind.port ?? 22}" ${publicKey}`,
    );
  }
  const device = deviceOf(tunnel.user);
  if (device !== undefined) {
    return new ExpectedError(
      ExitCode.personNeeded, 'key-refused', error.message,
      `Whoever administers ${tunnel.host} can admit this key (the line below, in a file): revtun-setup server add ${device} --key FILE.pub ${tunnel.host}\n${publicKey}`,
    );
  }
  return new ExpectedError(
    ExitCode.personNeeded, 'key-refused', error.message,
    `Append this line to ~/.ssh/authorized_keys of ${tunnel.user} on ${tunnel.host}, then run this again:\n${authorizedKeysLine(tunnel, publicKey)}`,
  );
}

/** ssh has one sentence for three causes; with -v the server's own remarks tell them apart. */
function forwardRefused(tunnel: Tunnel, forwards: readonly Forward[], publicKey: string, said: string): Pick<Attempt, 'failure' | 'refused'> {
  const server = serverOf(tunnel);
  const which = /remote port forwarding failed for listen (?:port|path) (\S+)/.exec(said)?.[1] ?? '';
  const forward = forwards.find(({ listen }) => ('path' in listen ? listen.path : String(listen.port)) === which) ?? forwards[0];
  const spec = forward ? `-R ${formatForward(forward)}` : `port ${which}`;
  const refuse = (id: string, why: string, hint: string) => ({ failure: new ExpectedError(ExitCode.failed, id, `${server} refused ${spec}: ${why}`, hint), refused: forward });
  if (/Server has disabled port forwarding/.test(said)) {
    return refuse('forwarding-disabled', 'port forwarding is switched off there for this account or key.', `On the server: set AllowTcpForwarding to yes or remote in sshd_config for ${tunnel.user}; in authorized_keys, "restrict" needs "port-forwarding" beside it.`);
  }
  if (/port forwarding refused/.test(said)) {
    const why = 'this key or account may not listen there (permitlisten or PermitListen does not match).';
    if (isDeviceAccount(tunnel.user)) return refuse('listen-not-permitted', why, `Each device has one port and address there; see: revtun-setup server list ${tunnel.host}`);
    return refuse('listen-not-permitted', why, `On the server, the key's line should be:\n${authorizedKeysLine(tunnel, publicKey)}\n(permitlisten compares the address as it is asked for; another one is asked for with --bind, for example --bind localhost.)`);
  }
  const port = forward && 'port' in forward.listen ? forward.listen.port : 0;
  if (port > 0 && port < 1024 && tunnel.user !== 'root') {
    return refuse('port-privileged', `only root may listen on ports below 1024 there.`, 'Choose a port from 1024 to 65535 with --remote-port.');
  }
  return refuse(
    'port-taken',
    'the port is taken there, by another program or by a dead session of an earlier tunnel.',
    `On the server, see who holds it: sudo ss -ltnp 'sport = :${which}'. A dead session of sshd goes after its time-out (up to 2 h 11 min with its defaults; ClientAliveInterval 15 makes it one minute), or at once with kill. Or choose another port with --remote-port.`,
  );
}
