import { isIP } from 'node:net';
import { type ExpectedError, failed } from '../errors.ts';
import type { DialResult, Machine } from '../machine/machine.ts';
import type { Destination } from '../tunnel/destination.ts';
import { nameOf } from './journey.ts';
import { whyNetworkIsDown } from './network.ts';
import { SSH } from '../tunnel/ssh.ts';

/**
 * Why an ssh of this machine did not come as far as a server's first line: looks at the name, the route, TCP and that
 * line itself, in the order in which they depend on each other.
 * @param said what `ssh -v` said; empty when it was not asked yet
 * @returns undefined when the way is sound by now
 */
export async function wayFailure(machine: Machine, hop: Destination, said: string): Promise<ExpectedError | undefined> {
  const name = nameOf(hop);
  // A server that waits for its client to begin has answered ssh, and would not answer us.
  const answer = /^debug1: kex_exchange_identification: banner line \d+: (.+)$/m.exec(said)?.[1];
  if (answer !== undefined) return strangeWords(name, answer, hop.host);
  if (/timed out during banner exchange|banner exchange: .*timed out/i.test(said)) return mute(name, '');
  const addresses = await addressesOf(machine, hop.host, said);
  if (typeof addresses === 'string') return addresses === 'silent' ? nameServersSilent(machine, hop.host) : nameUnknown(hop.host);
  const dialled = await Promise.all(addresses.map(async (address): Promise<Dialled> => {
    const result = await machine.dial({ host: address, port: hop.port ?? 22 }, PATIENCE);
    return { ...result, address, says: result.outcome === 'connected' ? result.banner : result.reason };
  }));
  return failureOfAll(machine, name, dialled);
}

/** Milliseconds for a connection, and then for a first line. A SYN that is lost is sent again after 1 and 3 s. */
const PATIENCE = 4000;

/** Milliseconds; a resolver that has to ask a second name server takes five seconds at most with its defaults (resolv.conf(5)). */
const RESOLVING = 5500;

interface Dialled {
  readonly outcome: DialResult['outcome'];
  readonly address: string;
  readonly says: string;
}

/** What sshd writes in place of its version (sshd.c: MaxStartups, and since 9.8 PerSourcePenalties). */
function turnedAwayBy(name: string, said: string): ExpectedError | undefined {
  if (/Exceeded MaxStartups/.test(said)) {
    return failed('server-busy', `${name}: its sshd has more logins under way than it takes at once, and turned this one away (MaxStartups).`, 'It lets others in as soon as those are done; a tunnel tries again by itself. If it goes on: sudo journalctl -u ssh -u sshd -n 50 on the server shows who they are, and MaxStartups in its sshd_config how many may be.');
  }
  if (/Not allowed at this time/.test(said)) {
    return failed('banned', `${name}: its sshd has banned this address for a while, because logins from it have failed (PerSourcePenalties).`, 'It ends by itself after 10 min at most, once nothing behind this address fails to log in any more; on the server, sudo journalctl -u ssh -u sshd | grep penalty tells why. To exempt the address: PerSourcePenaltyExemptList in its sshd_config.');
  }
  return undefined;
}

const strangeWords = (name: string, words: string, address: string) =>
  turnedAwayBy(name, words) ?? failed('not-ssh', `${name}: what answers there is no ssh server (${address}: ${firstLine(words)}).`, 'Check the port (--port, or that of --jump): on that host, sudo ss -ltnp shows what listens where.');

const firstLine = (words: string) => words.trim().split('\n')[0]!.slice(0, 80);

/** @returns `none` when there is no such name, `silent` when nobody answers the question */
async function addressesOf(machine: Machine, host: string, said: string): Promise<string[] | 'none' | 'silent'> {
  if (isIP(host.replace(/%.*/, '')) !== 0) return [host];
  if (/Temporary failure in name resolution/.test(said)) return 'silent';
  if (/Could not resolve hostname/.test(said)) return 'none';
  const { stdout, timedOut } = await machine.run(['getent', 'ahosts', host], { timeoutMs: RESOLVING });
  if (timedOut) return 'silent';
  const found = [...new Set(stdout.split('\n').flatMap((line) => line.split(/\s+/)[0] || []))];
  if (found.length > 0) return found.slice(0, MOST_ADDRESSES);
  // getent does not say why there is nothing; ssh does. Should the name resolve by now, it is ended there, and could not log in.
  const asked = await machine.run(
    [SSH, '-F', 'none', '-v', '-N', '-T', '-o', 'BatchMode=yes', '-o', 'PreferredAuthentications=none', '-o', 'ConnectTimeout=1', '--', host],
    { timeoutMs: RESOLVING, stopWhen: (words) => CONNECTING.test(words) },
  );
  const [, address] = CONNECTING.exec(asked.stderr) ?? [];
  if (address !== undefined) return [address];
  return !asked.timedOut && /Could not resolve hostname(?!.*Temporary failure)/.test(asked.stderr) ? 'none' : 'silent';
}

/** ssh -v, once it has an address. */
const CONNECTING = /^debug1: Connecting to \S+ \[([^\]]+)\] port/m;

/** Names of large services have dozens; all are dialled at once. */
const MOST_ADDRESSES = 8;

async function nameServersSilent(machine: Machine, host: string): Promise<ExpectedError> {
  const down = await whyNetworkIsDown(machine);
  if (down !== undefined) return networkDown(down);
  return failed('dns-silent', `${host}: its name does not resolve: no name server answers this machine.`, 'See which are asked: cat /etc/resolv.conf (or resolvectl status), and whether they answer: getent ahosts debian.org. An address in place of the name does without them: --host ADDRESS (of a jump host: in --jump)');
}

const nameUnknown = (host: string) =>
  failed('name-unknown', `${host}: its name does not resolve: there is no such name.`, `Check its spelling. What this machine makes of it: getent ahosts ${host}`);

const mute = (name: string, tried: string) =>
  failed('server-mute', `${name}: it accepts the connection, and then says nothing${tried}.`, 'On the server (at its console), see how its sshd is: systemctl status ssh (RHEL: sshd); uptime. A firewall or a proxy in between can do the same.');

const networkDown = (why: string) =>
  failed('network-down', `This machine is not connected to any network: ${why}.`, 'Check the cable or the Wi-Fi, and see: ip -br addr; ip route');

/** Whoever answers at one address is good enough; if none does, the outcome that says most is the cause. */
async function failureOfAll(machine: Machine, name: string, dialled: readonly Dialled[]): Promise<ExpectedError | undefined> {
  const tried = `(${dialled.map(({ address, says }) => `${address}: ${says === '' ? 'no word' : firstLine(says)}`).join('; ')})`;
  const outcomes = new Set(dialled.map(({ outcome }) => outcome));
  const connected = dialled.filter(({ outcome }) => outcome === 'connected');
  if (connected.some(({ says }) => /^SSH-/m.test(says))) return undefined;
  const strange = connected.find(({ says }) => says !== '');
  if (strange) return strangeWords(name, strange.says, strange.address);
  if (connected.length > 0) return mute(name, ` ${tried}`);
  if (outcomes.has('closed')) return failed('server-closed', `${name}: it accepts the connection, and closes it at once without a word ${tried}.`, 'On the server, see why: sudo sshd -t; sudo journalctl -u ssh -u sshd -n 50. A ban (fail2ban, hosts.deny) can do the same.');
  if (outcomes.has('refused')) return failed('server-refused', `${name}: nothing listens on that port ${tried}.`, 'Check the port (--port, or that of --jump), and there that sshd runs: systemctl status ssh (RHEL: sshd); sudo ss -ltnp');
  if (outcomes.has('forbidden')) return failed('blocked-here', `${name}: this machine itself does not let the connection out ${tried}.`, 'See its own rules: sudo nft list ruleset (or iptables -S); ip route get ADDRESS; and with SELinux: sudo ausearch -m avc');
  const down = await whyNetworkIsDown(machine, dialled.map(({ address }) => address));
  if (down !== undefined) return networkDown(down);
  if (outcomes.has('timeout')) return failed('server-silent', `${name}: it does not answer; packets to it get lost ${tried}.`, 'Check the address and the port, that the server is on, and the firewalls in between, this machine\'s own among them (sudo nft list ruleset).');
  return failed('no-route', `${name}: there is no way to it from here ${tried}.`, 'See: ip route get ADDRESS. A router on the way may be the one that knows none: traceroute ADDRESS');
}
