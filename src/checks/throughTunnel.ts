import { setTimeout as sleep } from 'node:timers/promises';
import type { DialResult, Identity, Machine } from '../machine/machine.ts';
import { knownHostsName } from '../tunnel/destination.ts';
import { formatEndpoint, type Forward } from '../tunnel/forward.ts';
import { throughJumps } from '../tunnel/ssh.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { type Arrival, watchArrivals } from './arrivals.ts';
import type { HostKey } from './hostKey.ts';
import { hopsOf, plainWords } from './journey.ts';
import { recognise } from './sshFailure.ts';
import type { Workbench } from './workbench.ts';

/** What a connection to the server's side of a tunnel needs. */
export interface Probe {
  readonly machine: Machine;
  readonly who: Identity;
  readonly tunnel: Tunnel;
  readonly bench: Workbench;
  readonly pinned: readonly string[];
}

/**
 * What a connection from the server's side to its port showed.
 * - `self`: this machine's host key, or a connection of its ssh to the target, or of somebody's where the target's words came out
 * - `perhaps-self`: a connection to the target that may be another one
 * - `same-banner`, `words`: it said what the target says here, or something else
 * - `open`: it was accepted, and nothing can be known of more
 * - `other`: another host key
 * - `closed`: it was accepted, and closed without a word
 * - `silent`: it was accepted, and nothing came of it
 * - `no-listener`: it was refused
 * - `forbidden`: the server does not let this key try
 * - `unreached`: the login did not come so far
 */
export type Inner = 'self' | 'perhaps-self' | 'same-banner' | 'words' | 'open' | 'other' | 'closed' | 'silent' | 'no-listener' | 'forbidden' | 'unreached';

/** Milliseconds that an answer through the tunnel may take, once the login at the server is over: each word goes over the link twice. */
const PATIENCE = 5000;

const loginsIn = (said: string) => said.match(/^Authenticated to /gm)?.length ?? 0;

/** What kept an ssh from the port itself, by its own words; undefined where none of them says so. */
function whereItStopped(said: string, tunnel: Tunnel): Inner | undefined {
  if (loginsIn(said) < hopsOf(tunnel).length) return 'unreached';
  if (/administratively prohibited/.test(said)) return 'forbidden';
  if (/open failed: connect failed/.test(said)) return 'no-listener';
  return undefined;
}

/** An ssh to the far end through the server, jump hosts included; it never logs in. */
export async function handshakeThrough(probe: Probe, end: { host: string; port: number }, self: HostKey): Promise<Inner> {
  const { tunnel } = probe;
  const stderr = await showsKey(probe, { ...tunnel, jump: hopsOf(tunnel), host: end.host, port: end.port }, self);
  if (stderr === 'matches') return 'self';
  const stop = whereItStopped(stderr, tunnel);
  if (stop) return stop;
  if (/HOST IDENTIFICATION HAS CHANGED|strict checking|Host key verification failed/.test(stderr)) return 'other';
  return recognise(plainWords(stderr))?.id === 'server-closed' ? 'closed' : 'silent';
}

/**
 * Ends as soon as ssh has checked the host key: nobody's log shows a failed login. Logins on the way have the time of any login;
 * from there on each of ssh's words may take {@link PATIENCE}.
 * @returns `matches`, or all that ssh said
 */
export async function showsKey({ bench, who, pinned }: Probe, to: Tunnel, self: HostKey): Promise<string> {
  const name = knownHostsName(to.host, to.port);
  await bench.pin([...pinned, `${name} ${self.type} ${self.blob}`]);
  const algorithms = self.type === 'ssh-rsa' ? 'rsa-sha2-512,rsa-sha2-256' : self.type;
  const matches = (said: string) => said.includes(`Host '${name}' is known and matches`);
  const impatience = new AbortController();
  let silence: NodeJS.Timeout | undefined;
  const listen = (said: string) => {
    if (loginsIn(said) < to.jump.length) return;
    clearTimeout(silence);
    silence = setTimeout(() => impatience.abort(), PATIENCE);
  };
  listen('');
  const timeoutMs = bench.limit + 2 * PATIENCE;
  const { stderr } = await bench.ssh(
    { ...to, user: who.userName },
    ['-v', '-N', '-T', '-o', 'PreferredAuthentications=none', '-o', `HostKeyAlgorithms=${algorithms}`, '-o', `ConnectTimeout=${Math.ceil(timeoutMs / 1000)}`],
    [],
    {
      timeoutMs, signal: impatience.signal,
      stopWhen: (said) => {
        listen(said);
        return matches(said);
      },
    },
  ).finally(() => clearTimeout(silence));
  await bench.pin(pinned);
  return matches(stderr) ? 'matches' : stderr;
}

/** Milliseconds for an ssh to come after somebody who cannot be told from it. */
const A_MOMENT = 1000;

/** What a SOCKS5 client says first, and what it is answered: no authentication (RFC 1928, 3). */
const SOCKS_GREETING = '\x05\x01\x00';
export const SOCKS_ANSWER = '\x05\x00';

/** For what is no sshd: opens the port by `ssh -W`, sees the connection arrive here, and compares what it says. */
export async function bannerThrough({ machine, bench, tunnel }: Probe, end: { host: string; port: number }, target: Forward['target'], here: DialResult): Promise<Inner> {
  const arrivals = await watchArrivals(machine, tunnel, target, here);
  const said = { stderr: '', stdout: '' };
  const done = new AbortController();
  const opened = bench.ssh(tunnel, ['-vv', '-T', '-W', formatEndpoint(end), ...throughJumps(tunnel)], [], {
    ...(target === 'socks' ? { input: SOCKS_GREETING } : { holdInput: true }), timeoutMs: bench.limit + 2 * PATIENCE, signal: done.signal,
    stopWhen: (stderr, stdout) => {
      Object.assign(said, { stderr, stdout });
      return false;
    },
  });
  let hasEnded = false;
  // It may be ended by a signal while we look elsewhere; what it throws is met below.
  opened.catch(() => undefined).finally(() => { hasEnded = true; });
  const [begin, step] = [performance.now(), 100];
  let arrived: Arrival = 'nobody';
  for (let open = 0; open < (arrived === 'somebody' ? A_MOMENT : PATIENCE) && performance.now() - begin < bench.limit + PATIENCE; ) {
    // The look comes last: what has ended or spoken before it has arrived before it.
    const isOver = hasEnded || said.stdout !== '';
    if (isOver || hasOpened(said.stderr, tunnel)) {
      open += step;
      arrived = await arrivals.seen();
    } else if (performance.now() - begin > bench.limit) break;
    if (isOver || arrived === 'ssh') break;
    await sleep(step);
  }
  const endedItself = hasEnded;
  done.abort();
  const { stderr, stdout } = await opened;
  const stop = whereItStopped(stderr, tunnel);
  if (stop) return stop;
  if (!hasOpened(stderr, tunnel)) return 'unreached';
  const isSame = stdout !== '' && here.outcome === 'connected' && here.banner === stdout;
  if (arrived === 'ssh' || (isSame && arrived !== 'nobody')) return 'self';
  if (arrived === 'somebody') return 'perhaps-self';
  if (stdout !== '') return isSame ? 'same-banner' : 'words';
  if (endedItself) return 'closed';
  return arrivals.visible || target === 'socks' ? 'silent' : 'open';
}

/** The server has connected to its own port, as `ssh -vv` says of the channel; jump hosts have said the same before, of theirs. */
const hasOpened = (said: string, tunnel: Tunnel) =>
  loginsIn(said) >= hopsOf(tunnel).length && /^debug2: .*open confirm /m.test(said.slice(said.lastIndexOf('Authenticated to ')));
