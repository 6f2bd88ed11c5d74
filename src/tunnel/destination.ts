import { InvalidValue } from '../errors.ts';

/** Where ssh connects to. Without `user` or `port`, ssh's own configuration decides. */
export interface Destination {
  readonly host: string;
  readonly user?: string;
  readonly port?: number;
}

// ssh itself refuses only part of what a shell or a `Match exec` would act on (CVE-2023-51385,
// CVE-2025-61984), and only on newer releases. We let through what real names consist of.
const HOST_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$/;
const IPV6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?$/;
const USER_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/;

/** @throws InvalidValue unless the text is a whole decimal port number of 1 to 65535 (or 0, where asked for) */
export function parsePort(text: string, lowest: 0 | 1 = 1): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port >= lowest && port <= 65535)) {
    throw new InvalidValue(`${quoted(text)} is not a port: use a number from ${lowest} to 65535`);
  }
  return port;
}

/** @throws InvalidValue unless the text is a host name or an address (IPv6 without brackets) */
export function parseHost(text: string): string {
  if (!HOST_NAME.test(text) && !(text.length < 100 && IPV6.test(text))) {
    throw new InvalidValue(`${quoted(text)} is not a host name or address`);
  }
  return text;
}

/** @throws InvalidValue unless the text is a plain login name */
export function parseUser(text: string): string {
  if (!USER_NAME.test(text)) throw new InvalidValue(`${quoted(text)} is not a user name`);
  return text;
}

/**
 * Reads `[USER@]HOST[:PORT]`; an IPv6 address stands in brackets, as in `root@[2001:db8::1]:2222`.
 * @throws InvalidValue
 */
export function parseDestination(text: string): Destination {
  const [, user, rest = ''] = /^(?:([^@]*)@)?(.*)$/s.exec(text) ?? [];
  const bracketed = /^\[([^[\]]*)\](?::(.*))?$/s.exec(rest);
  if (!bracketed && rest.split(':').length > 2) {
    throw new InvalidValue(`${quoted(text)}: put an IPv6 address in brackets, as in [2001:db8::1]:22`);
  }
  const [, host = '', port] = bracketed ?? /^([^:]*)(?::(.*))?$/s.exec(rest) ?? [];
  return {
    host: parseHost(host),
    ...(user !== undefined && { user: parseUser(user) }),
    ...(port !== undefined && { port: parsePort(port) }),
  };
}

/** Reads a chain of jump hosts as ssh's -J takes it: `[USER@]HOST[:PORT],…`. @throws InvalidValue */
export function parseJump(text: string): readonly Destination[] {
  return text.split(',').map((hop) => parseDestination(hop));
}

/** The inverse of {@link parseDestination}, as ssh's -J and our own flags spell it. */
export function formatDestination({ host, user, port }: Destination): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${user === undefined ? '' : `${user}@`}${name}${port === undefined ? '' : `:${port}`}`;
}

/** How known_hosts names a server: `host`, or `[host]:port` off port 22 (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
export function knownHostsName(host: string, port: number): string {
  return port === 22 ? host : `[${host}]:${port}`;
}

/** A user's text inside a message: visible quotes, control characters spelled out, never longer than a line. */
export function quoted(text: string): string {
  const visible = JSON.stringify(text);
  return visible.length <= 70 ? visible : `${visible.slice(0, 60)}…" (${text.length} characters)`;
}
