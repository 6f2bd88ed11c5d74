import { InvalidValue } from '../errors.ts';
import { type Destination, formatDestination, parseHost, parseJump, parsePort, parseUser, quoted } from './destination.ts';
import { commandLine } from '../shell.ts';
import { FORWARD_FLAG, type Forward, formatForward, type ForwardKind, isPublic, parseForward, reachedInside } from './forward.ts';
import { type Notices, parseNotice } from './notice.ts';

export type Scope = 'system' | 'user';

/** One tunnel, complete: every way in (flags, environment, wizard, an ssh command, an installed unit) ends here. */
export interface Tunnel extends Notices {
  readonly name: string;
  readonly scope: Scope;
  /** The tunnel host as ssh dials it: aliases of an ssh_config are already resolved. */
  readonly host: string;
  readonly user: string;
  readonly port: number;
  /** Hosts to go through, in order. Empty: straight to `host`. */
  readonly jump: readonly Destination[];
  readonly forwards: readonly Forward[];
  /** Absolute path of the private key. */
  readonly identityFile: string;
  /** Seconds between probes of an idle link; see {@link DEFAULT_KEEPALIVE}. */
  readonly keepalive: number;
  /** ssh_config's `Ciphers`; `default` leaves ssh its own order. */
  readonly ciphers: string;
  /** The account is one that revtun-setup made on the server: its dead sessions are ended before connecting. */
  readonly release: boolean;
}

/** Whether an account's name is one that only revtun-setup gives: it releases the port when asked. */
export const isDeviceAccount = (user: string) => user.startsWith('revtun-');

/**
 * ssh gives up a silent link after `ServerAliveInterval * (ServerAliveCountMax + 1)` seconds (clientloop.c), here
 * 3 * 4 = 12: inside the 15 s that we promise, and lenient enough for lost replies. Where the address of this machine
 * has changed, the first probe already is answered by a reset.
 */
export const DEFAULT_KEEPALIVE = 3;
export const KEEPALIVE_PROBES = 3;

/** Seconds after which a silent link is given up. */
export const silenceLimit = (tunnel: Pick<Tunnel, 'keepalive'>) => tunnel.keepalive * (KEEPALIVE_PROBES + 1);

/** The list head that makes ssh prefer AES-GCM and keep everything else (ssh_config(5), Ciphers, `^`). */
export const AES_GCM_FIRST = '^aes128-gcm@openssh.com,aes256-gcm@openssh.com';

// A unit name, a directory name and a word that nobody has to quote. No leading dot or dash, and short enough for
// sun_path when a runtime directory is named after it.
const NAME = /^[a-z0-9][a-z0-9_.-]{0,39}$/;

/** @throws InvalidValue unless the text can name a tunnel */
export function parseName(text: string): string {
  if (!NAME.test(text)) {
    throw new InvalidValue(
      `${quoted(text)} cannot name a tunnel: use up to 40 of a-z 0-9 . _ - and begin with a letter or digit`,
    );
  }
  return text;
}

/** The name a tunnel gets when none is given: that of the host as the user typed it. */
export function defaultName(host: string): string {
  const name = host.toLowerCase().replace(/[^a-z0-9_.-]/g, '-').replace(/^[^a-z0-9]+/, '').slice(0, 40);
  return name === '' ? 'tunnel' : name;
}

/** @throws InvalidValue unless the text is a whole number of seconds from 1 to 3600 */
export function parseKeepalive(text: string): number {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds >= 1 && seconds <= 3600)) {
    throw new InvalidValue(`${quoted(text)} is not a number of seconds from 1 to 3600`);
  }
  return seconds;
}

/** Accepts what ssh_config's `Ciphers` takes, or `default`. ssh itself checks the names. @throws InvalidValue */
export function parseCiphers(text: string): string {
  if (!/^(default|[+^]?[a-z0-9][a-z0-9@.-]*(,[a-z0-9][a-z0-9@.-]*)*)$/.test(text)) {
    throw new InvalidValue(`${quoted(text)} is not a cipher list (see ssh -Q cipher), nor "default"`);
  }
  return text;
}

/**
 * Accepts an absolute path that a unit can name. LoadCredential= knows neither quotes nor escapes (systemd.exec(5)),
 * and systemd 257 does not start a unit whose credential path holds a blank or a backslash.
 * @throws InvalidValue
 */
export function parsePath(text: string): string {
  if (!text.startsWith('/')) throw new InvalidValue(`${quoted(text)} is not an absolute path`);
  if (/[\p{Cc}\s\\\uFFFD]/u.test(text) || Buffer.byteLength(text) > 4000) {
    throw new InvalidValue(
      `${quoted(text)}: a service cannot be given a path with blanks, backslashes, control characters or bytes that are not UTF-8`,
    );
  }
  return text;
}

/** A tunnel as named settings, in the words of ssh_config(5): what the unit records and what flags are made of. */
export type Settings = readonly (readonly [SettingName, string])[];

export type SettingName =
  | 'Host' | 'User' | 'Port' | 'ProxyJump' | 'RemoteForward' | 'LocalForward' | 'DynamicForward'
  | 'IdentityFile' | 'ServerAliveInterval' | 'Ciphers' | 'ReleaseOnArrival'
  | 'OnDown' | 'OnUp';

const FORWARD_SETTING = { remote: 'RemoteForward', local: 'LocalForward', dynamic: 'DynamicForward' } as const;

export function toSettings(tunnel: Tunnel): Settings {
  const jump = tunnel.jump.map(formatDestination).join(',');
  return [
    ['Host', tunnel.host],
    ['User', tunnel.user],
    ['Port', String(tunnel.port)],
    ...(jump === '' ? [] : [['ProxyJump', jump] as const]),
    ...tunnel.forwards.map((forward) => [FORWARD_SETTING[forward.kind], formatForward(forward)] as const),
    ['IdentityFile', tunnel.identityFile],
    ['ServerAliveInterval', String(tunnel.keepalive)],
    ['Ciphers', tunnel.ciphers],
    ['ReleaseOnArrival', tunnel.release ? 'yes' : 'no'],
    ...(tunnel.onDown.length === 0 ? [] : [['OnDown', commandLine(tunnel.onDown)] as const]),
    ...(tunnel.onUp.length === 0 ? [] : [['OnUp', commandLine(tunnel.onUp)] as const]),
  ];
}

/**
 * The inverse of {@link toSettings}. Unknown settings are ignored, so that an older program can read a newer record.
 * @throws InvalidValue when a setting is missing or cannot be read
 */
export function fromSettings(name: string, scope: Scope, settings: readonly (readonly [string, string])[]): Tunnel {
  const all = (setting: SettingName) => settings.filter(([key]) => key === setting).map(([, value]) => value);
  const one = (setting: SettingName) => {
    const value = all(setting).at(-1);
    if (value === undefined) throw new InvalidValue(`${setting}= is missing`);
    return value;
  };
  const kinds = Object.keys(FORWARD_SETTING) as ForwardKind[];
  return {
    name,
    scope,
    host: parseHost(one('Host')),
    user: parseUser(one('User')),
    port: parsePort(one('Port')),
    jump: all('ProxyJump').flatMap(parseJump),
    forwards: kinds.flatMap((kind) => all(FORWARD_SETTING[kind]).map((text) => parseForward(kind, text))),
    identityFile: parsePath(one('IdentityFile')),
    keepalive: parseKeepalive(one('ServerAliveInterval')),
    ciphers: parseCiphers(one('Ciphers')),
    // Records of older programs do not have it.
    release: all('ReleaseOnArrival').at(-1) === 'yes',
    onDown: all('OnDown').slice(-1).flatMap(parseNotice),
    onUp: all('OnUp').slice(-1).flatMap(parseNotice),
  };
}

/** The tunnel host as a person would write it. */
export const serverOf = (tunnel: Pick<Tunnel, 'host' | 'user' | 'port'>) =>
  formatDestination({ host: tunnel.host, user: tunnel.user, ...(tunnel.port !== 22 && { port: tunnel.port }) });

/** The forwards in a few words, for the unit's description and for lists. */
export function describeForwards(tunnel: Pick<Tunnel, 'forwards'>): string {
  return tunnel.forwards.map((forward) => `${FORWARD_FLAG[forward.kind]} ${formatForward(forward)}`).join(' ');
}

export const remoteForwards = (tunnel: Pick<Tunnel, 'forwards'>): readonly Forward[] =>
  tunnel.forwards.filter(({ kind }) => kind === 'remote');

/**
 * What a user has to take upon themselves by name (`--accept-risk=…`). The last one is no tunnel's property, but what a
 * change does to whoever came through it.
 */
export type Risk = (typeof RISKS)[number];
export const RISKS = ['public', 'remote-socks', 'dynamic-port', 'stale-socket', 'lose-ssh'] as const;

export function risksOf({ forwards }: Pick<Tunnel, 'forwards'>): readonly { risk: Risk; why: string }[] {
  return forwards.flatMap((forward) => {
    const spec = `${FORWARD_FLAG[forward.kind]} ${formatForward(forward)}`;
    const { kind, listen, target } = forward;
    const found: { risk: Risk; why: string }[] = [];
    if (isPublic(forward)) found.push({ risk: 'public', why: `${spec} is meant to be reached by everyone who reaches ${kind === 'remote' ? 'the server' : 'this machine'}` });
    if (kind !== 'remote') return found;
    if (target === 'socks') found.push({ risk: 'remote-socks', why: `${spec} gives the server a SOCKS proxy into this machine's whole network` });
    if ('port' in listen && listen.port === 0) found.push({ risk: 'dynamic-port', why: `${spec} gets another port on each reconnect` });
    // Tried on 8.4 to 10.0: the client's own StreamLocalBindUnlink does nothing for -R.
    if ('path' in listen) found.push({ risk: 'stale-socket', why: `${spec} leaves its socket behind when the link drops, and cannot be had again unless the server's sshd_config says StreamLocalBindUnlink yes` });
    return found;
  });
}

/**
 * The line for the server's authorized_keys that admits these forwards, their proof, and nothing else that a key
 * could do (sshd(8), AUTHORIZED_KEYS FILE FORMAT). "restrict" takes terminals, agents and X11 away, but not commands:
 * hence one that does nothing, which -N never runs. A kind of forward that is not named is not limited at all, so
 * each gets a name: port 1 of loopback stands for none.
 */
export function authorizedKeysLine(tunnel: Tunnel, publicKey: string): string {
  const listen = remoteForwards(tunnel).flatMap((forward) => ('path' in forward.listen ? [] : [forward.listen]));
  const anywhere = tunnel.forwards.some(({ kind }) => kind === 'dynamic');
  const options = [
    ...orNone(listen.map(({ host, port }) => hostPort(sentBind(host), port === 0 ? '*' : port))).map((text) => `permitlisten="${text}"`),
    ...(anywhere ? [] : orNone([...listen.flatMap(proofEnd), ...localTargets(tunnel)]).map((text) => `permitopen="${text}"`)),
  ];
  return `${['restrict', 'port-forwarding', 'command="/bin/false"', ...new Set(options)].join(',')} ${publicKey}`;
}

const orNone = (ends: readonly string[]) => (ends.length === 0 ? ['localhost:1'] : ends);

const hostPort = (host: string, port: number | string) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** permitlisten compares the very text that the client sends (channels.c): none as "localhost", all as the empty string. */
const sentBind = (host: string | undefined) => (host === '*' ? '' : (host ?? 'localhost'));

/** Where a proof connects to on the server; a port that changes cannot be named. */
function proofEnd(listen: { readonly host?: string; readonly port: number }): string[] {
  const { host, port } = reachedInside(listen);
  return port === 0 ? [] : [hostPort(host, port)];
}

const localTargets = ({ forwards }: Tunnel) =>
  forwards.flatMap(({ kind, target }) => (kind !== 'local' || target === 'socks' || 'path' in target ? [] : [hostPort(target.host ?? 'localhost', target.port)]));
