import { join, resolve } from 'node:path';
import { InvalidValue } from '../errors.ts';
import { parseDeviceName } from '../server/device.ts';
import { type Destination, parseDestination, parseHost, parseJump, parsePort, parseUser, quoted } from '../tunnel/destination.ts';
import { type Forward, parseForward } from '../tunnel/forward.ts';
import { parseNotice } from '../tunnel/notice.ts';
import { parseCiphers, parseKeepalive, parseName, parsePath, type Risk, RISKS, type Scope } from '../tunnel/tunnel.ts';

/** What was asked for, whichever way it came in. Absent means: not said. */
export interface Draft {
  name?: string;
  host?: Destination;
  user?: string;
  port?: number;
  remotePort?: number;
  bind?: string;
  localHost?: string;
  localPort?: number;
  /** An empty list takes forwards away that are installed. */
  remoteForward?: readonly Forward[];
  localForward?: readonly Forward[];
  dynamicForward?: readonly Forward[];
  key?: string;
  generateKey?: boolean;
  /** An empty list means straight to the server, whatever ssh_config says. */
  jump?: readonly Destination[];
  hostKey?: readonly string[];
  knownHosts?: string;
  acceptNewHostKey?: boolean;
  scope?: Scope;
  keepalive?: number;
  cipher?: string;
  noRelease?: boolean;
  /** Program and arguments; an empty list means that nobody is told. */
  onDown?: readonly string[];
  onUp?: readonly string[];
  acceptRisk?: readonly Risk[];
  /** The administrator's login on the server, to set up its end as well. */
  serverAdmin?: Destination;
  /** What the server is to call this device. */
  device?: string;
  wizard?: boolean;
  yes?: boolean;
  dryRun?: boolean;
  json?: boolean;
  quiet?: boolean;
  noVerify?: boolean;
  noStart?: boolean;
  /** Seconds in which a change that was made through its own tunnel has to be confirmed. */
  confirmWithin?: number;
}

/** What the words of a path are relative to. */
export interface ParseContext {
  readonly cwd: string;
  readonly home: string;
}

/**
 * One way in for one value. The table below is the only place that knows flags, variables and their meaning: the
 * command line, the environment, the wizard, help and the generated command all read it.
 */
export interface Field<Key extends keyof Draft = keyof Draft> {
  readonly key: Key;
  /** As commander and the help show it. A field without `<…>` is a switch. */
  readonly flags: string;
  readonly help: string;
  /** May be given several times; in a variable, the values stand in one line, separated by blanks. */
  readonly many?: true;
  readonly parse?: (text: string, context: ParseContext) => unknown;
  readonly group: 'server' | 'forwards' | 'trust' | 'service' | 'run';
}

export const FIELDS: readonly Field[] = [
  { key: 'host', group: 'server', flags: '--host <[USER@]HOST[:PORT]>', help: 'the tunnel host; IPv6 in brackets; a Host of your ssh_config will do', parse: parseDestination },
  { key: 'user', group: 'server', flags: '--user <USER>', help: 'who to log in as there', parse: parseUser },
  { key: 'port', group: 'server', flags: '--port <N>', help: 'where its sshd listens', parse: (text) => parsePort(text) },
  { key: 'jump', group: 'server', flags: '--jump <DEST[,DEST]>', help: 'go through these hosts, as ssh -J does; "none": straight', parse: orNone(parseJump) },
  { key: 'key', group: 'server', flags: '--key <PATH>', help: 'the private key (identity file), without a passphrase', parse: parseKeyPath },
  { key: 'generateKey', group: 'server', flags: '--generate-key', help: 'make an ed25519 key for this tunnel; one that is there is used again' },
  { key: 'serverAdmin', group: 'server', flags: '--server-admin <DEST>', help: "set up the server's end too, or by uninstall take it away: a login there that is root or may use sudo", parse: parseDestination },
  { key: 'device', group: 'server', flags: '--device <DEVICE>', help: 'with --server-admin: what the server calls this device (default: its host name)', parse: parseDeviceName },

  { key: 'remotePort', group: 'forwards', flags: '--remote-port <N>', help: 'the port on the server that leads here', parse: (text) => parsePort(text, 0) },
  { key: 'bind', group: 'forwards', flags: '--bind <ADDRESS>', help: 'where on the server it listens (default 127.0.0.1; * = everyone)', parse: parseBind },
  { key: 'localHost', group: 'forwards', flags: '--local-host <HOST>', help: 'where connections go from here (default localhost)', parse: parseHost },
  { key: 'localPort', group: 'forwards', flags: '--local-port <N>', help: 'and to which port (default 22)', parse: (text) => parsePort(text) },
  { key: 'remoteForward', group: 'forwards', many: true, flags: '-R, --remote-forward <SPEC>', help: 'as ssh -R: [BIND:]PORT:HOST:HOSTPORT or socket paths; repeatable', parse: forwardOrNone('remote') },
  { key: 'localForward', group: 'forwards', many: true, flags: '-L, --local-forward <SPEC>', help: 'as ssh -L; repeatable', parse: forwardOrNone('local') },
  { key: 'dynamicForward', group: 'forwards', many: true, flags: '-D, --dynamic-forward <SPEC>', help: 'as ssh -D: [BIND:]PORT; repeatable', parse: forwardOrNone('dynamic') },

  { key: 'hostKey', group: 'trust', many: true, flags: '--host-key <SHA256:…>', help: "fingerprint that the server's host key must have; repeatable", parse: parseFingerprint },
  { key: 'knownHosts', group: 'trust', flags: '--known-hosts <FILE>', help: "a known_hosts file that holds the server's host key", parse: parseKeyPath },
  { key: 'acceptNewHostKey', group: 'trust', flags: '--accept-new-host-key', help: 'trust the key that the server shows now, and pin it' },
  { key: 'acceptRisk', group: 'trust', many: true, flags: '--accept-risk <RISK>', help: 'public, remote-socks, dynamic-port, stale-socket or lose-ssh: say that you mean it', parse: parseRisk },

  { key: 'name', group: 'service', flags: '--name <NAME>', help: 'what the tunnel is called here (default: after the host)', parse: parseName },
  { key: 'scope', group: 'service', flags: '--scope <system|user>', help: 'a service of the system or of this user (default: system for root)', parse: parseScope },
  { key: 'keepalive', group: 'service', flags: '--keepalive <SECONDS>', help: 'probe a silent link this often; four times that, and it is given up (default 3)', parse: parseKeepalive },
  { key: 'cipher', group: 'service', flags: '--cipher <LIST>', help: "as ssh -c; \"default\": ssh's own order (default: AES-GCM first where the processor has AES)", parse: parseCiphers },
  { key: 'noRelease', group: 'service', flags: '--no-release', help: "do not end this account's other sessions on the server before connecting (revtun- accounts)" },
  { key: 'onDown', group: 'service', flags: '--on-down <COMMAND>', help: 'run this when the tunnel went down; "none": nothing', parse: orNone(parseCommand) },
  { key: 'onUp', group: 'service', flags: '--on-up <COMMAND>', help: 'run this when it is up, for the first time and again; "none": nothing', parse: orNone(parseCommand) },

  { key: 'wizard', group: 'run', flags: '--wizard', help: 'ask for what the flags leave open' },
  { key: 'yes', group: 'run', flags: '-y, --yes', help: 'do not ask before doing it; what never asks takes it as well' },
  { key: 'dryRun', group: 'run', flags: '--dry-run', help: 'check everything and print the steps, change nothing' },
  { key: 'json', group: 'run', flags: '--json', help: 'print one JSON object on stdout, everything else on stderr' },
  { key: 'quiet', group: 'run', flags: '-q, --quiet', help: 'print errors only' },
  { key: 'noVerify', group: 'run', flags: '--no-verify', help: 'do not try a connection through the tunnel' },
  { key: 'noStart', group: 'run', flags: '--no-start', help: 'install and enable, but do not start it' },
  { key: 'confirmWithin', group: 'run', flags: '--confirm-within <SECONDS>', help: 'time to confirm a change of the tunnel that you came through (default 60)', parse: parseConfirmWithin },
];

export const isSwitch = (field: Field) => field.parse === undefined;

/** The long flag, as messages name it: `--remote-forward`. */
export const flagOf = (field: Field) => /--[a-z-]+/.exec(field.flags)![0];

export const variableOf = (field: Field) => `REVTUN_${flagOf(field).slice(2).replaceAll('-', '_').toUpperCase()}`;

export function fieldOf(key: keyof Draft): Field {
  return FIELDS.find((field) => field.key === key)!;
}

function orNone<T>(parse: (text: string, context: ParseContext) => readonly T[]) {
  return (text: string, context: ParseContext): readonly T[] => (text === 'none' ? [] : parse(text, context));
}

/** A program without a slash is one that is looked for later. */
function parseCommand(text: string, { cwd }: ParseContext): string[] {
  const [program = '', ...args] = parseNotice(text);
  return [program.includes('/') ? resolve(cwd, program) : program, ...args];
}

function forwardOrNone(kind: Forward['kind']) {
  return (text: string): Forward | 'none' => (text === 'none' ? 'none' : parseForward(kind, text));
}

function parseBind(text: string): string {
  return text === '*' ? text : parseHost(text.replace(/^\[(.*)\]$/s, '$1'));
}

function parseKeyPath(text: string, { cwd, home }: ParseContext): string {
  return parsePath(text.startsWith('~/') ? join(home, text.slice(2)) : resolve(cwd, text));
}

function parseFingerprint(text: string): string {
  if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(text)) {
    throw new InvalidValue(`${quoted(text)} is not a fingerprint as ssh-keygen -lf prints it: SHA256: and 43 characters`);
  }
  return text;
}

function oneOf<T extends string>(choices: readonly T[], text: string): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new InvalidValue(`${quoted(text)} is none of ${choices.join(', ')}`);
  return found;
}

function parseScope(text: string): Scope {
  return oneOf(['system', 'user'], text);
}

function parseConfirmWithin(text: string): number {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds >= 5 && seconds <= 3600)) throw new InvalidValue(`${quoted(text)} is not a number of seconds from 5 to 3600`);
  return seconds;
}

function parseRisk(text: string): Risk {
  return oneOf(RISKS, text);
}
