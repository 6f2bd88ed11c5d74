import { InvalidValue, refused } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import { parseJump, quoted } from '../tunnel/destination.ts';
import { type Forward, type ForwardKind, parseForward } from '../tunnel/forward.ts';
import { hostOf, splitSshWords, type SshOption } from '../tunnel/sshWords.ts';
import { parsePath } from '../tunnel/tunnel.ts';
import type { Draft, ParseContext } from './fields.ts';
import { parseSshG, sshG } from './sshConfigOf.ts';
import { join, resolve } from 'node:path';

/** What has no place in a service, and why. The rest is either carried over or says what our unit says anyway. */
const SENSELESS: Readonly<Record<string, string>> = {
  A: 'a service has no agent to forward, and a server should not get yours',
  B: 'an interface to bind to is not carried over',
  b: 'an address to bind to is not carried over',
  C: 'compression is not carried over: it slows down all but the slowest links',
  E: "a service's messages belong in the journal",
  G: 'it only prints the configuration',
  g: 'say who may connect in the -L or -D itself, as in -L *:8080:localhost:80',
  I: 'a PKCS#11 token needs a person',
  K: 'GSSAPI needs a ticket that a person renews',
  M: 'a shared connection belongs to a person, not to a service',
  m: 'a MAC list is not carried over',
  O: 'it speaks to another ssh',
  Q: 'it only prints a list',
  S: 'a shared connection belongs to a person, not to a service',
  s: 'a service forwards ports and starts no subsystem',
  t: 'a service has no terminal',
  V: 'it only prints the version',
  W: 'it connects stdin and stdout, which a service does not have',
  w: 'a tun device is not a forward',
  X: 'a service has no display',
  Y: 'a service has no display',
  4: 'an address family is not carried over; name the address itself',
  6: 'an address family is not carried over; name the address itself',
};

/** Options of -o that `ssh -G` tells us back and that we carry over, or that our own configuration settles. */
const KNOWN_OPTIONS = new Set([
  'hostname', 'user', 'port', 'identityfile', 'identitiesonly', 'proxyjump', 'ciphers',
  'remoteforward', 'localforward', 'dynamicforward', 'serveraliveinterval', 'serveralivecountmax', 'tcpkeepalive',
  'exitonforwardfailure', 'batchmode', 'connecttimeout', 'connectionattempts', 'loglevel', 'requesttty', 'sessiontype',
  'stdinnull', 'forkafterauthentication', 'controlmaster', 'controlpath', 'preferredauthentications',
  'passwordauthentication', 'updatehostkeys', 'checkhostip', 'hashknownhosts',
]);

/**
 * Reads an ssh command line as it stands into a draft. What ssh makes of it is asked of ssh (`ssh -G`); its letters
 * are read here only to find what cannot be in a service.
 * @throws ExpectedError naming everything that makes no sense in a service
 */
export async function readSshCommand(argv: readonly string[], machine: Machine, who: Identity, context: ParseContext): Promise<Draft> {
  const words = argv[0]?.split('/').at(-1) === 'ssh' ? argv.slice(1) : argv;
  const { options, destination, command } = splitSshWords(words);
  const problems = [
    ...options.filter(({ letter }) => SENSELESS[letter] !== undefined).map(({ letter }) => `-${letter}: ${SENSELESS[letter]}`),
    ...options.flatMap(({ letter, argument }) => (letter === 'o' ? problemOf(argument) : [])),
    ...(command.length > 0 ? [`${quoted(command.join(' '))}: a service forwards ports and runs no command on the server`] : []),
    ...(options.filter(({ letter }) => letter === 'i').length > 1 ? ['-i: a service tries one key; name the one that works'] : []),
    ...(destination === undefined ? ['no destination'] : []),
  ];
  if (destination === undefined || problems.length > 0) {
    throw refused('ssh-command', `This ssh command cannot be made a service:\n${problems.map((line) => `  ${line}`).join('\n')}`, 'Take that out, and run it again.');
  }
  const { code, stdout, stderr } = await sshG(machine, who, words);
  if (code !== 0) throw refused('ssh-command', `ssh does not accept this command: ${stderr.trim()}`);
  try {
    return draftFrom(parseSshG(stdout), options, destination, context);
  } catch (error) {
    if (error instanceof InvalidValue) throw refused('ssh-command', `This ssh command cannot be made a service: ${error.message}`);
    throw error;
  }
}

/** @throws InvalidValue for what ssh takes and a tunnel does not */
function draftFrom(values: readonly (readonly [string, string])[], options: readonly SshOption[], destination: string, context: ParseContext): Draft {
  const all = (key: string) => values.filter(([keyword]) => keyword === key).map(([, value]) => value);
  const given = (letter: string, option: string) =>
    options.some((found) => found.letter === letter || (found.letter === 'o' && optionName(found.argument) === option));
  const forwards = (kind: ForwardKind, lines = all(`${kind}forward`)) => lines.map((line) => readForward(kind, line));
  // What -F FILE says of a host counts as said here; ssh -G lists its defaults beside it.
  const ofFile = (key: string, byDefault: RegExp) => (given('F', '') ? all(key).find((value) => !byDefault.test(value)) : undefined);
  const [hostname = destination] = all('hostname');
  const draft: Draft = {
    // The alias itself: what it stands for is resolved and shown as for --host. Where this command alone says what it
    // stands for, that.
    host: { host: given('F', 'hostname') ? hostname : hostOf(destination) },
    remoteForward: forwards('remote'),
    localForward: forwards('local'),
    // ssh -G lists a -L to a socket here, too.
    dynamicForward: forwards('dynamic', all('dynamicforward').filter((line) => !all('localforward').some((local) => local.startsWith(`${line} /`)))),
  };
  const [user, port, jump] = [all('user')[0], all('port')[0], all('proxyjump')[0]];
  if (user !== undefined) draft.user = user;
  if (port !== undefined) draft.port = Number(port);
  if (jump !== undefined && jump !== 'none') draft.jump = parseJump(jump);
  else if (given('F', 'proxyjump')) draft.jump = [];
  const key = options.filter(({ letter }) => letter === 'i').at(0)?.argument ?? (given('', 'identityfile') ? all('identityfile')[0] : ofFile('identityfile', /^~\/\.ssh\/id_\w+$/));
  if (key !== undefined) draft.key = parsePath(key.startsWith('~/') ? join(context.home, key.slice(2)) : resolve(context.cwd, key));
  if (given('c', 'ciphers')) draft.cipher = all('ciphers')[0]!;
  if (given('F', 'serveraliveinterval') && all('serveraliveinterval')[0] !== '0') draft.keepalive = Number(all('serveraliveinterval')[0]);
  return draft;
}

const optionName = (option: string) => (/^\s*([A-Za-z0-9]+)/.exec(option)?.[1] ?? '').toLowerCase();

function problemOf(option: string): string[] {
  const name = optionName(option);
  if (name === 'stricthostkeychecking' || name === 'userknownhostsfile') {
    return [`-o ${option}: host keys are pinned here; say --host-key, --known-hosts or --accept-new-host-key`];
  }
  return KNOWN_OPTIONS.has(name) ? [] : [`-o ${option}: is not carried over`];
}

/** One line of `ssh -G`: `22222 [localhost]:22`, `[*]:80 /run/x.sock`, `1080 [socks]:0`. */
function readForward(kind: ForwardKind, line: string): Forward {
  const [, listen = line, target] = /^(\d+|\[[^\]]*\]:\d+|\/.*?)(?: (\[.*|\/.*))?$/s.exec(line) ?? [];
  return parseForward(kind, target === undefined || target === '[socks]:0' ? listen : `${listen}:${target}`);
}
