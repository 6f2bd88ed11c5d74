import { InvalidValue } from '../errors.ts';
import { parseHost, parsePort, quoted } from './destination.ts';

/** One end of a forward: a TCP port, or a Unix socket. */
export type Endpoint = { readonly host?: string; readonly port: number } | { readonly path: string };

/** A forward as ssh's -R, -L and -D make it. A target of `'socks'` lets the other end choose where to connect. */
export interface Forward {
  readonly kind: ForwardKind;
  readonly listen: Endpoint;
  readonly target: Endpoint | 'socks';
}

export type ForwardKind = 'remote' | 'local' | 'dynamic';

export const FORWARD_FLAG: Readonly<Record<ForwardKind, string>> = { remote: '-R', local: '-L', dynamic: '-D' };

/**
 * Reads a forward in OpenSSH's own syntax (ssh(1), -R -L -D; parse_forward() in readconf.c):
 * `[bind:]port:host:hostport`, a Unix socket path at either end, IPv6 addresses in brackets,
 * and for -D (or a remote SOCKS proxy) `[bind:]port` alone.
 * @throws InvalidValue
 */
export function parseForward(kind: ForwardKind, text: string): Forward {
  const fields = splitFields(text);
  const shape = fields.map((field) => (field.startsWith('/') ? 'path' : 'word')).join(' ');
  const [a = '', b = '', c = '', d = ''] = fields;
  const wrong = () => new InvalidValue(`${quoted(text)} is not a forward: ${SYNTAX[kind]}`);
  const listenPort = (port: string, bind?: string) => tcp(bind, port, kind === 'remote' ? 0 : 1);

  if (kind === 'dynamic') {
    if (shape === 'word') return { kind, listen: listenPort(a), target: 'socks' };
    if (shape === 'word word') return { kind, listen: listenPort(b, a), target: 'socks' };
    throw wrong();
  }
  switch (shape) {
    case 'word':
      if (kind === 'local') throw wrong();
      return { kind, listen: listenPort(a), target: 'socks' };
    case 'word word':
      if (kind === 'local') throw wrong();
      return { kind, listen: listenPort(b, a), target: 'socks' };
    case 'word path':
      return { kind, listen: listenPort(a), target: socket(b) };
    case 'path path':
      return { kind, listen: socket(a), target: socket(b) };
    case 'path word word':
      return { kind, listen: socket(a), target: target(b, c) };
    case 'word word path':
      return { kind, listen: listenPort(b, a), target: socket(c) };
    case 'word word word':
      return { kind, listen: listenPort(a), target: target(b, c) };
    case 'word word word word':
      return { kind, listen: listenPort(b, a), target: target(c, d) };
    default:
      throw wrong();
  }
}

const SYNTAX: Readonly<Record<ForwardKind, string>> = {
  remote: 'use [BIND:]PORT:HOST:HOSTPORT, or absolute socket paths at either end',
  local: 'use [BIND:]PORT:HOST:HOSTPORT, or absolute socket paths at either end',
  dynamic: 'use [BIND:]PORT',
};

/** The inverse of {@link parseForward}: the text that ssh's flag takes. */
export function formatForward({ listen, target }: Forward): string {
  return target === 'socks' ? formatEndpoint(listen) : `${formatEndpoint(listen)}:${formatEndpoint(target)}`;
}

export function formatEndpoint(endpoint: Endpoint): string {
  if ('path' in endpoint) return endpoint.path;
  const { host, port } = endpoint;
  if (host === undefined) return String(port);
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Who can reach the listener of a remote forward, as far as the request goes; the server's GatewayPorts has the
 * last word. An empty bind address and `*` mean all interfaces, no bind address means loopback (ssh(1), -R).
 */
export function isPublic({ listen }: Forward): boolean {
  if ('path' in listen || listen.host === undefined) return false;
  return !isLoopback(listen.host);
}

/** Where the server itself connects to reach a listener that was asked for like this: what a proof dials. */
export function reachedInside({ host, port }: { readonly host?: string; readonly port: number }): { host: string; port: number } {
  if (host === undefined || host === '*') return { host: 'localhost', port };
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  return { host: host === '::' ? '::1' : host, port };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function splitFields(text: string): string[] {
  const fields: string[] = [];
  let rest = text;
  for (;;) {
    const [whole, bracketed, plain] = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?=:|$)/s.exec(rest) ?? [];
    if (whole === undefined) throw new InvalidValue(`${quoted(text)} is not a forward: put an IPv6 address in brackets`);
    fields.push(bracketed ?? plain ?? '');
    if (rest.length === whole.length) return fields;
    rest = rest.slice(whole.length + 1);
  }
}

const target = (host: string, port: string): Endpoint => ({ host: parseHost(host), port: parsePort(port) });

function tcp(host: string | undefined, port: string, lowestPort: 0 | 1): Endpoint {
  const number = parsePort(port, lowestPort);
  if (host === undefined) return { port: number };
  return { host: host === '*' || host === '' ? '*' : parseHost(host), port: number };
}

// ssh expands % and ${} in socket paths, on some releases only, and takes a backslash for an escape; sun_path
// holds 108 bytes with the final NUL (unix(7)), and ssh appends a random suffix of 17 to what it listens on.
const SOCKET_PATH = /^\/[^\p{Cc}\p{Zl}\p{Zp}\uFFFD\\%$:[\]]+$/u;

function socket(path: string): Endpoint {
  if (!SOCKET_PATH.test(path) || path !== path.trim() || Buffer.byteLength(path) > 90) {
    throw new InvalidValue(
      `${quoted(path)} is not a usable socket path: at most 90 bytes, absolute, none of \\ % $ : [ ], no control characters or bytes that are not UTF-8`,
    );
  }
  return { path };
}
