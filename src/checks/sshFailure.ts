import { ExitCode, ExpectedError } from '../errors.ts';

/** A failure of ssh in our words: what its several sentences for one cause have in common. */
export interface SshFailure {
  readonly id: string;
  readonly exitCode: typeof ExitCode.failed | typeof ExitCode.personNeeded;
  /** A sentence; completed by the caller, who knows the names. */
  readonly what: string;
  readonly hint: string;
}

/** Rows are tried from the top; the first whose pattern is in what ssh said names the cause. */
const FAILURES: readonly (readonly [RegExp, Omit<SshFailure, 'exitCode'> & { person?: true }])[] = [
  [/REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed/i, { id: 'host-key-changed', person: true, what: 'its host key is not the one that is known', hint: 'Somebody may be in between, or the server was set up anew. If it was, check the fingerprint on the server (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and say it with --host-key.' }],
  [/host key is known for .* strict checking|Host key verification failed/, { id: 'host-key-unknown', person: true, what: 'its host key is not known', hint: 'Compare its fingerprint with that on the server (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and say it with --host-key.' }],
  [/Temporary failure in name resolution/, { id: 'dns-silent', what: 'no name server answers, so its name does not resolve', hint: 'See which are asked: cat /etc/resolv.conf, and whether they answer: getent ahosts debian.org' }],
  [/Could not resolve hostname|Name or service not known/, { id: 'name-unknown', what: 'its name does not resolve', hint: 'Check the spelling of --host, and name resolution on this machine (getent hosts NAME).' }],
  [/Permission denied \(|Too many authentication failures/, { id: 'key-refused', person: true, what: 'it does not accept the key', hint: '' }],
  [/remote port forwarding failed|forwarding request failed/, { id: 'forward-refused', what: 'it refused the forward', hint: '' }],
  [/Address already in use|cannot listen to port|Could not request local forwarding/, { id: 'port-in-use-here', what: 'a port to listen on is taken on this machine', hint: 'See: ss -ltnp' }],
  [/timed out|Timeout, server .* not responding/, { id: 'server-silent', what: 'it does not answer', hint: 'Check the address, the port, and firewalls in between.' }],
  [/Connection refused/, { id: 'server-refused', what: 'nothing listens on that port', hint: 'Check --port, and that sshd runs on the server.' }],
  [/No route to host|Network is unreachable/, { id: 'no-route', what: 'there is no way to it from here', hint: 'Check the network of this machine.' }],
  [/no matching .* found/, { id: 'no-common-algorithm', what: 'it has no algorithm in common with this ssh', hint: 'Upgrade the older of the two; see what it says above.' }],
  [/Bad SSH2 cipher spec|Bad configuration option|unsupported/, { id: 'ssh-option', what: 'this ssh does not know an option of the tunnel', hint: 'Check --cipher against: ssh -Q cipher' }],
  [/[Cc]onnection (closed|reset)|closed by remote host|kex_exchange_identification/, { id: 'server-closed', what: 'it closed the connection', hint: 'It may be overloaded, refuse this address for a while (fail2ban, PerSourcePenalties), or not be an ssh server. Its own log says why.' }],
];

/** The cause that ssh's words name; undefined when they name none. */
export function recognise(said: string): SshFailure | undefined {
  const row = FAILURES.find(([pattern]) => pattern.test(said))?.[1];
  if (!row) return undefined;
  const { id, what, hint } = row;
  return { id, what, hint, exitCode: row.person ? ExitCode.personNeeded : ExitCode.failed };
}

/** An error for a failed ssh to `server`; ssh's own last words are kept for whoever searches for them. */
export function sshError(server: string, said: string, hint?: string): ExpectedError {
  const failure = recognise(said);
  const words = lastWords(said);
  if (!failure) return new ExpectedError(ExitCode.failed, 'ssh-failed', `${server}: ssh failed: ${words || 'without a word'}`, hint);
  return new ExpectedError(failure.exitCode, failure.id, `${server}: ${failure.what}.${words === '' ? '' : ` (ssh: ${words})`}`, hint ?? failure.hint);
}

/** The last line that is not for debugging. */
export function lastWords(said: string): string {
  return said.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== '' && !/^(debug\d|OpenSSH_|Authenticated to|Transferred:|Bytes per second|@+)/.test(line)).at(-1) ?? '';
}
