import { ExitCode, ExpectedError, failed } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { Destination } from '../tunnel/destination.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { type Leg, legsOf, loginOf, plainWords } from './journey.ts';
import { lastWords, recognise, sshError } from './sshFailure.ts';
import { wayFailure } from './way.ts';

/** Findings of ssh that say less than a look at the way does. */
const VAGUE: readonly (string | undefined)[] = ['name-unknown', 'dns-silent', 'no-route', 'server-refused', 'server-silent', 'server-closed', undefined];

/**
 * Why an ssh with the service's configuration did not get in, as install, the wizard and the doctor put it. The host
 * that is at fault is named, be it the server or one before it.
 * @param said all that `ssh -v` said
 */
export async function loginFailure(machine: Machine, tunnel: Tunnel, said: string, timedOut: boolean): Promise<ExpectedError> {
  const leg = legsOf(tunnel, said).at(-1)!;
  const words = plainWords(leg.said);
  const id = recognise(words)?.id;
  const name = loginOf(leg.hop);
  const inSshsWords = () => sshError(name, timedOut ? `${words}\nConnection timed out` : words);
  if (!VAGUE.includes(id)) return inSshsWords();
  const hangs = timedOut || id === 'server-silent';
  if (leg.software !== undefined) return (id === undefined && !hangs ? undefined : onceItSpoke(leg, name, hangs)) ?? inSshsWords();
  if (leg.by !== undefined) return beyondJump(leg, leg.by, hangs) ?? inSshsWords();
  return (await wayFailure(machine, leg.hop, leg.said)) ?? inSshsWords();
}

/** It has said which software it is: from then on, where it stops tells why. */
function onceItSpoke(leg: Leg, name: string, hangs: boolean): ExpectedError | undefined {
  const words = lastWords(leg.said);
  const quote = words === '' ? '' : ` (ssh: ${words})`;
  if (leg.hostKey === undefined) {
    if (!hangs) return failed('server-closed', `${name}: it closed the connection in the middle of the key exchange.${quote}`, 'On the server, see why: sudo journalctl -u ssh -u sshd -n 50');
    return failed('packets-lost', `${name}: it answers, but the key exchange never ends. Most often its larger packets get lost on the way.`, `Where packets of full size do not pass (MTU), a smaller one does: ip link set dev INTERFACE mtu 1280; what fits shows: ping -M do -s 1372 ${leg.hop.host}. Otherwise its sshd is stuck: on the server, systemctl status ssh (RHEL: sshd); uptime`);
  }
  if (!leg.encrypted) return undefined;
  if (hangs) {
    return failed('login-silent', `${name}: it ${leg.authenticated ? 'lets the key in, and then answers nothing any more' : 'never answers the login'}.`, 'On the server, see what its sshd waits for (AuthorizedKeysCommand, PAM, a home on a network, its load): sudo journalctl -u ssh -u sshd -n 50; uptime');
  }
  return failed('login-closed', `${name}: it knows the key, and closes the connection all the same.${quote}`, 'On the server, see why: sudo journalctl -u ssh -u sshd -n 50. An account that has expired (chage -l), /run/nologin, PAM and limits of sessions do that.');
}

/** What a jump host says of the one behind it (channel open failures of sshd, with the system's own words). */
function beyondJump(leg: Leg, { host: by }: Destination, hangs: boolean): ExpectedError | undefined {
  const refuse = (id: string, what: string, hint: string) => new ExpectedError(ExitCode.failed, id, `${leg.name}: ${what}`, hint);
  const said = plainWords(leg.said);
  if (/administratively prohibited/.test(said)) return refuse('forwarding-disabled', `the jump host ${by} lets nobody through to it.`, `On ${by}: AllowTcpForwarding yes (or local) in sshd_config, and permitopen="${leg.hop.host}:${leg.hop.port ?? 22}" where the key's line is restricted.`);
  if (/Name or service not known|No address associated/.test(said)) return refuse('name-unknown', `${by} knows no such name; it is the jump host that asks for it.`, `On ${by}: getent ahosts ${leg.hop.host}`);
  if (/Temporary failure in name resolution/.test(said)) return refuse('dns-silent', `no name server answers the jump host ${by}, which asks for it.`, `On ${by}: cat /etc/resolv.conf; getent ahosts ${leg.hop.host}`);
  if (/Connection refused/.test(said)) return refuse('server-refused', `nothing listens on that port, as seen from ${by}.`, 'Check --port, and on the server that sshd runs: systemctl status ssh (RHEL: sshd); sudo ss -ltnp');
  if (/No route to host|Network is unreachable/.test(said)) return refuse('no-route', `there is no way to it from ${by}.`, `On ${by}: ip route get ADDRESS`);
  if (hangs) return refuse('server-silent', `it does not answer, as seen from ${by}.`, `Check the firewalls between ${by} and it, and that the server is on.`);
  return undefined;
}
