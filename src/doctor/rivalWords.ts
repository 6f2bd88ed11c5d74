import { basename } from 'node:path';
import { formatDestination, parseJump } from '../tunnel/destination.ts';
import { type Forward, isLoopback, parseForward } from '../tunnel/forward.ts';
import { hostOf, splitSshWords, type SshOption } from '../tunnel/sshWords.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';

/** Which server an ssh asks, as far as its words tell: what they leave out may stand in a configuration. */
export interface Asked {
  readonly host: string;
  readonly port: number | 'by default' | 'unknown';
  /** {@link hops} on the way, `unknown` where a program makes the connection. */
  readonly way: string;
}

/** Jump hosts in one spelling, without users: who logs in to them leads nowhere else. */
export const hops = (jump: Tunnel['jump']) => jump.map(({ host, port = 22 }) => formatDestination({ host: host.toLowerCase(), port })).join(',');

/** Configurations of ours: installed, and those of the checks that another run makes at this moment. */
const OURS = /\/revtun\/[^/]+\/ssh_config$|\/revtun[_-]\d+-\w{6}\/ssh_config$/;

/** The server that an ssh (or autossh) of somebody else's asks for a listener that collides with one of these; undefined for any other process. */
export function whomItAsks(argv: readonly string[], own: readonly Forward[]): Asked | undefined {
  const program = basename(argv[0] ?? '');
  if (program !== 'ssh' && program !== 'autossh') return undefined;
  try {
    const { options, destination } = splitSshWords(program === 'ssh' ? argv.slice(1) : sshWordsOf(argv.slice(1)));
    const given = (letter: string) => options.filter((option) => option.letter === letter).map(({ argument }) => argument);
    if (given('F').some((file) => OURS.test(file)) || destination === undefined) return undefined;
    const specs = [...given('R'), ...given('o').flatMap((option) => /^\s*remoteforward[\s=]+(\S+)(?:\s+(\S+))?/i.exec(option)?.slice(1, 3).filter(Boolean).join(':') ?? [])];
    if (!specs.some((spec) => own.some((forward) => collide(parseForward('remote', spec), forward)))) return undefined;
    const unsaid = given('F').some((file) => file !== 'none' && file !== '/dev/null') ? 'unknown' : undefined;
    const port = firstOf(options, 'p', 'port') ?? /^ssh:\/\/.*:(\d+)\/?$/.exec(destination)?.[1];
    return {
      host: firstOf(options, '', 'hostname') ?? hostOf(destination),
      port: port === undefined ? (unsaid ?? 'by default') : /^\d+$/.test(port) ? Number(port) : 'unknown',
      way: wayOf(options) ?? unsaid ?? '',
    };
  } catch {
    // Words that ssh itself would not take are no rival's.
    return undefined;
  }
}

/** As in ssh, the first that is said of a setting counts. */
function firstOf(options: readonly SshOption[], ofLetter: string, ofKeyword: string): string | undefined {
  return options.map(({ letter, argument }) => {
    if (letter === ofLetter) return argument;
    const [, keyword = '', value] = (letter === 'o' ? /^\s*(\w+)\s*[\s=]\s*(.*?)\s*$/s.exec(argument) : null) ?? [];
    return keyword.toLowerCase() === ofKeyword ? value : undefined;
  }).find((value) => value !== undefined);
}

function wayOf(options: readonly SshOption[]): string | undefined {
  const jump = firstOf(options, 'J', 'proxyjump');
  const command = firstOf(options, '', 'proxycommand');
  if (command !== undefined && command.toLowerCase() !== 'none') return 'unknown';
  if (jump === undefined) return command && '';
  return jump.toLowerCase() === 'none' ? '' : hops(parseJump(jump.replaceAll('ssh://', '')));
}

/** autossh's own -M PORT; ssh's -M takes no argument. */
function sshWordsOf(words: readonly string[]): string[] {
  const at = words.findIndex((word) => word.startsWith('-M'));
  if (at === -1) return [...words];
  return words.toSpliced(at, words[at] === '-M' ? 2 : 1);
}

/** Two listeners that one server cannot have both. */
export function collide({ listen: a }: Forward, { listen: b }: Forward): boolean {
  if ('path' in a || 'path' in b) return 'path' in a && 'path' in b && a.path === b.path;
  if (a.port !== b.port || a.port === 0) return false;
  const [one, other] = [a.host, b.host].map((host) => (host === undefined || isLoopback(host) ? 'loopback' : host));
  return one === other || one === '*' || other === '*';
}
