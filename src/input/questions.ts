import { ExpectedError, InvalidValue, personNeeded } from '../errors.ts';
import { fingerprint, type HostKeySituation } from '../checks/hostKey.ts';
import type { KeyHere } from '../checks/keysHere.ts';
import type { Listening } from '../checks/listening.ts';
import { commandLine } from '../shell.ts';
import { type Destination, formatDestination, quoted } from '../tunnel/destination.ts';
import { type Endpoint, formatEndpoint, type Forward } from '../tunnel/forward.ts';
import { serverOf, type Scope, type Tunnel } from '../tunnel/tunnel.ts';
import { wrap, wrapCommand } from '../wrap.ts';
import type { Ask, Choice } from './ask.ts';
import { fieldOf, type ParseContext } from './fields.ts';

// Every word of the wizard. Nothing here decides anything: a question takes what is known, and gives an answer.

const note = (ask: Ask, text: string) => ask.say(wrap(text, '  '));

export function tellBeginning(ask: Ask): void {
  ask.say(
    '\nThis makes this machine reachable through a server that you can log in to.\n' +
    'Nothing is changed before you have seen the plan. Ctrl-C leaves at any time.\n',
  );
}

/** What went wrong, before the question that can mend it. */
export function tellTrouble(ask: Ask, { message, hint }: ExpectedError): void {
  note(ask, hint === '' ? message : `${message}\n${hint}`);
}

// The server

export function server(ask: Ask, suggestions: readonly string[]): Promise<Destination> {
  return ask.suggested('Server (user@example.com, with :PORT if that is not 22)', suggestions, fieldOf('host').parse as (text: string) => Destination);
}

export function tellReaching(ask: Ask, tunnel: Tunnel): void {
  const through = tunnel.jump.length === 0 ? '' : ` through ${tunnel.jump.map(formatDestination).join(', ')}`;
  note(ask, `Reaching ${serverOf(tunnel)}${through} …`);
}

/**
 * Shows the key beside what is known, and lets the person judge.
 * @throws ExpectedError when it is not the known one, or not confirmed
 */
export async function hostKey(ask: Ask, { server: name, shown, known }: HostKeySituation): Promise<void> {
  const same = known.filter(({ key }) => key.type === shown.type && key.blob === shown.blob);
  const other = known.filter(({ key }) => key.type === shown.type && key.blob !== shown.blob);
  const compare = `ssh-keygen -lf /etc/ssh/ssh_host_${shown.type.split('-')[1]?.replace('sha2', 'ecdsa')}_key.pub`;
  const now = `${shown.type} ${fingerprint(shown)}`;
  if (same.length === 0 && other.length > 0) {
    const before = other.map(({ key, file }) => `  it was  ${key.type} ${fingerprint(key)}\n          in ${file}\n`).join('');
    throw personNeeded(
      'host-key-changed',
      `The host key of ${name} has CHANGED.\n  it is   ${now}\n${before}Somebody may sit in between and listen. Nothing was sent there.`,
      `If the server was set up anew, type there: ${compare}\nIf it prints the first of these, go on with:\n  ${commandLine(['revtun-setup', '--wizard', '--host-key', fingerprint(shown)])}`,
    );
  }
  ask.say(`  ${name} shows the host key\n    ${now}`);
  if (same.length > 0) {
    note(ask, `known_hosts agrees: ${[...new Set(same.map(({ file }) => file))].join(', ')}`);
    if (await ask.yes('Is this the server you mean?', true)) return;
  } else {
    const types = [...new Set(known.map(({ key }) => key.type))].join(', ');
    note(ask, known.length === 0 ? `known_hosts says nothing about ${name}.` : `known_hosts knows ${name} by a key of another kind (${types}).`);
    ask.say(`  Compare it with what the server itself prints:\n    ${compare}`);
    if (await ask.yes('Is it the same?', false)) return;
  }
  throw personNeeded('host-key-refused', `The host key of ${name} was not confirmed. Nothing was changed.`, `Compare it with, on the server: ${compare}`);
}

// The key

/** @returns a path, or `new` */
export async function key(ask: Ask, keys: readonly KeyHere[], context: ParseContext): Promise<string> {
  const short = (path: string) => (path.startsWith(`${context.home}/`) ? `~${path.slice(context.home.length)}` : path);
  const width = Math.min(40, Math.max(0, ...keys.map(({ path }) => short(path).length)));
  const choices: Choice<string>[] = keys.map(({ path, type, comment, trouble }) => ({
    value: path,
    name: `${short(path).padEnd(width)}  ${type.padEnd(8)} ${trouble === undefined ? comment.slice(0, 26) : ''}`.trimEnd(),
    short: short(path),
    ...(trouble !== undefined && { disabled: `(${trouble})` }),
  }));
  const chosen = await ask.oneOf('Key to log in with', [
    ...choices,
    { value: 'new', name: 'Make a new one, for this tunnel alone', short: 'a new one, for this tunnel alone' },
    { value: 'other', name: 'Another file', short: 'another file' },
  ]);
  return chosen === 'other' ? ask.text('Path of the private key', (text) => fieldOf('key').parse!(text, context) as string) : chosen;
}

export function tellKeyAccepted(ask: Ask): void {
  note(ask, 'The server accepts it.');
}

export function tellKeyTrouble(ask: Ask, trouble: ExpectedError, where: string): void {
  if (trouble.id === 'key-refused') note(ask, `${where} does not accept this key yet.`);
  else tellTrouble(ask, trouble);
}

export type WayIn = 'password' | 'paste' | 'key' | 'account' | 'again';

export function howToGetIn(ask: Ask, isRefused: boolean): Promise<WayIn> {
  const again: Choice<WayIn> = { value: 'again', name: 'Try again' };
  return ask.oneOf<WayIn>('How shall it get there?', [
    ...(isRefused ? [] : [again]),
    { value: 'password', name: 'I log in there now, with a password or another key', short: 'by a login now' },
    { value: 'paste', name: 'Show me the line to paste there', short: 'by a line to paste' },
    { value: 'key', name: 'Use another key', short: 'another key' },
    { value: 'account', name: 'Use another account on the server', short: 'another account' },
    ...(isRefused ? [again] : []),
  ]);
}

export function account(ask: Ask): Promise<string> {
  return ask.text('Account on the server', fieldOf('user').parse as (text: string) => string);
}

/** @returns whether the key is to be good for this tunnel and nothing else */
export function restricted(ask: Ask): Promise<boolean> {
  return ask.oneOf('What may this key do on the server?', [
    { value: true, name: 'Hold the port of this tunnel, and nothing else', short: 'only hold the port of this tunnel', description: 'Whoever steals it gets no shell and no other port.' },
    { value: false, name: 'All that a login can do', short: 'all that a login can do', description: 'Right where you use this key for your own logins too.' },
  ]);
}

export function tellLogin(ask: Ask, where: string): void {
  note(ask, `Now ssh logs in to ${where} and may ask for a password.`);
}

export function tellLineNotThere(ask: Ask): void {
  note(ask, 'That did not work; ssh says above why.');
}

export function tellLineStays(ask: Ask, where: string): void {
  ask.say(`The key's line stays on ${where}, in ~/.ssh/authorized_keys.`);
}

/** Shows what to type on the server, in one line however long, and waits. */
export async function paste(ask: Ask, line: string, { user, host }: Tunnel): Promise<void> {
  const file = '~/.ssh/authorized_keys';
  ask.say(
    `  On ${host}, as ${user}, paste this one line:\n\n` +
    `mkdir -p -m 700 ~/.ssh && printf '%s\\n' ${commandLine([line])} >> ${file} && chmod 600 ${file}\n`,
  );
  await ask.enter('Enter when it is there');
}

// What to expose, where, and to whom

/** The ports that listen here by name, the ssh of this machine first. */
export async function targets(ask: Ask, listening: readonly Listening[]): Promise<readonly Endpoint[]> {
  const ssh = listening.find(({ port }) => port === SSH_PORT);
  const offered = [ssh ?? { port: SSH_PORT, host: 'localhost', name: 'ssh' }, ...listening.filter(({ port }) => port !== SSH_PORT)];
  const chosen = await ask.someOf<Endpoint | 'other'>('What shall be reachable?', [
    ...offered.map(({ port, host, name }): Choice<Endpoint> => ({
      value: { host, port },
      name: [String(port).padStart(5), name ?? '', host === 'localhost' ? '' : `on ${host}`].filter((part) => part !== '').join('  ')
        + (port !== SSH_PORT ? '' : ssh ? ": this machine's login" : ' (nothing listens there yet)'),
      short: `${port}${name === undefined ? '' : ` (${name})`}`,
      checked: port === SSH_PORT,
    })),
    { value: 'other', name: 'Something else', short: 'something else' },
  ]);
  const listed = chosen.filter((one) => one !== 'other');
  return listed.length === chosen.length ? listed : [...listed, await otherTarget(ask)];
}

const SSH_PORT = 22;

function otherTarget(ask: Ask): Promise<Endpoint> {
  return ask.text('What else (PORT, HOST:PORT near here, or a socket as /run/app.sock)', (text) => {
    const spec = /^\d+$/.test(text) ? `1:localhost:${text}` : `1:${text}`;
    try {
      const { target } = fieldOf('remoteForward').parse!(spec, { cwd: '/', home: '/' }) as Forward;
      if (target !== 'socks') return target;
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
    }
    throw new InvalidValue(`${quoted(text)} is none of 8080, printer.lan:80, [2001:db8::1]:80, /run/app.sock`);
  });
}

/**
 * @param taken ports that are given to other targets already
 * @param refused the port that the server did not give
 */
export function remotePort(ask: Ask, target: Endpoint, taken: readonly number[], refused?: number): Promise<number> {
  let preset = refused === undefined ? usualPort(target) : refused + 1;
  while (taken.includes(preset)) preset += 1;
  return ask.text(`Port on the server that leads to ${formatEndpoint(target)}`, (text) => {
    const port = fieldOf('port').parse!(text, { cwd: '/', home: '/' }) as number;
    if (taken.includes(port)) throw new InvalidValue(`${port} leads elsewhere already`);
    return port;
  }, String(preset));
}

function usualPort(target: Endpoint): number {
  if ('path' in target) return 20_000;
  if (target.port === SSH_PORT) return 22_222;
  return target.port <= 45_535 ? 20_000 + target.port : target.port;
}

export function audience(ask: Ask, ports: readonly number[]): Promise<'server' | 'everyone'> {
  return ask.oneOf(`Who may reach ${ports.length === 1 ? 'port' : 'ports'} ${ports.join(', ')} of the server?`, [
    { value: 'server', name: 'Only who can log in to the server', short: 'only who can log in to the server', description: 'It listens on loopback there: others jump through the server (ssh -J).' },
    { value: 'everyone', name: 'Everyone who reaches the server', short: 'everyone', description: 'Open to the internet if the server is: anyone may try to get in here.\nThe server has to allow it (GatewayPorts clientspecified).' },
  ]);
}

export async function risk(ask: Ask, why: string): Promise<boolean> {
  note(ask, `${why}.`);
  return ask.yes('Is that what you want?', false);
}

export async function exposure(ask: Ask, where: string): Promise<boolean> {
  note(ask, `${where} lets everyone reach the port, whatever is asked for: its GatewayPorts is "yes".`);
  return ask.yes('Shall everyone be able to reach it?', false);
}

export function howToGetPort(ask: Ask): Promise<'port' | 'password' | 'paste' | 'again'> {
  return ask.oneOf('What now?', [
    { value: 'again', name: 'Try again' },
    { value: 'port', name: 'Use another port', short: 'another port' },
    { value: 'password', name: "Put the key's line there by a login now", short: 'by a login now' },
    { value: 'paste', name: 'Show me the line to paste there', short: 'by a line to paste' },
  ]);
}

// The service

export function tellUserScope(ask: Ask, user: string, command: string): void {
  note(ask, `It becomes a service of ${user}'s own. For one of the system, which has the full sandbox, type instead: ${command}`);
}

export function scope(ask: Ask): Promise<Scope> {
  return ask.oneOf<Scope>('What shall run it?', [
    { value: 'system', name: 'The system', short: 'the system', description: 'From boot on, as a user of its own, in the full sandbox.' },
    { value: 'user', name: 'My own user, root', short: 'root', description: "As a service of root's own, with all of root's rights." },
  ]);
}

/** @param check throws InvalidValue for a name that cannot be taken */
export function name(ask: Ask, preset: string, check: (name: string) => void): Promise<string> {
  return ask.text('Name of the tunnel', (text) => {
    const chosen = fieldOf('name').parse!(text, { cwd: '/', home: '/' }) as string;
    check(chosen);
    return chosen;
  }, preset);
}

// The end

export function tellPlan(ask: Ask, titles: readonly string[], unit: string): void {
  ask.say(`\nThe unit:\n\n${wrap(unit.trimEnd(), '', '    ')}\n\nThe plan:\n\n${titles.map((title) => wrap(title, '  ', '      ')).join('\n')}\n`);
}

export const doIt = (ask: Ask) => ask.yes('Do it?', true);

/** The command for another machine, or for the next time; it can be copied as it stands. */
export const sameAsCommand = (argv: readonly string[]) => `\nThe same without questions:\n${wrapCommand(argv, '  ')}`;
