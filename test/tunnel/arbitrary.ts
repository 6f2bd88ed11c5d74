import fc from 'fast-check';
import type { Destination } from '../../src/tunnel/destination.ts';
import type { Endpoint, Forward } from '../../src/tunnel/forward.ts';
import { isDeviceAccount, type Scope, type Tunnel } from '../../src/tunnel/tunnel.ts';

/** Values as they are once ssh has resolved them, drawn as wide as our own rules let them through. */

// ssh tells an address in its one canonical form, and these are.
const ipv6 = fc.array(fc.integer({ min: 1, max: 0xffff }), { minLength: 8, maxLength: 8 }).map((groups) => groups.map((group) => group.toString(16)).join(':'));

const address = fc.oneof(fc.ipV4(), ipv6, fc.constantFrom('::1', '2001:db8::1', 'fe80::1%lo'));

// ssh takes a jump host called "none" for the word, and so do we. A number is an address to it.
export const host = fc.oneof(
  fc.stringMatching(/^[a-z0-9_][a-z0-9_.-]{0,30}$/).filter((text) => text !== 'none' && !/^[0-9.x]+$/.test(text)),
  address,
);

export const user = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}\$?$/);

const deviceAccount = fc.stringMatching(/^revtun-[a-z0-9_-]{1,24}$/);

export const port = fc.integer({ min: 1, max: 65535 });

export const name = fc.stringMatching(/^[a-z0-9][a-z0-9_.-]{0,39}$/);

export const destination: fc.Arbitrary<Destination> = fc.record({ host, user, port }, { requiredKeys: ['host'] });

/** One path component of letters, blanks and what shells, ssh and systemd act upon. */
const component = (letters: string) =>
  fc.array(fc.constantFrom(...letters), { minLength: 1, maxLength: 8 }).map((chars) => chars.join('').trim()).filter((text) => !/^\.*$/.test(text));

const pathOf = (letters: string) => fc.array(component(letters), { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);

export const socketPath = pathOf('ab.-_~ "\'`;#&|<>(){}*?!=,@+é😀').filter((path) => Buffer.byteLength(path) <= 80);

export const keyPath = pathOf('ab.-_~"\'`;#&|<>(){}[]*?!=,@+:$%hdé😀');

const listenAddress = fc.option(fc.oneof(fc.constantFrom('*', 'localhost', '127.0.0.1', '::1', '0.0.0.0', '::'), host), { nil: undefined });

const listenOn = (lowest: 0 | 1): fc.Arbitrary<Endpoint> =>
  fc.tuple(listenAddress, fc.integer({ min: lowest, max: 65535 })).map(([bind, number]) => (bind === undefined ? { port: number } : { host: bind, port: number }));

const socket: fc.Arbitrary<Endpoint> = socketPath.map((path) => ({ path }));

const target: fc.Arbitrary<Endpoint> = fc.oneof(fc.record({ host, port }), socket);

export const forward: fc.Arbitrary<Forward> = fc.oneof(
  fc.record({ kind: fc.constant('remote' as const), listen: fc.oneof({ weight: 3, arbitrary: listenOn(0) }, socket), target }),
  fc.record({ kind: fc.constant('remote' as const), listen: listenOn(0), target: fc.constant('socks' as const) }),
  fc.record({ kind: fc.constant('local' as const), listen: fc.oneof({ weight: 3, arbitrary: listenOn(1) }, socket), target }),
  fc.record({ kind: fc.constant('dynamic' as const), listen: listenOn(1), target: fc.constant('socks' as const) }),
);

/** Remote ones first, then local, then dynamic: the order in which a record gives them back. */
const forwards = fc.array(forward, { minLength: 1, maxLength: 5 }).map((list) =>
  (['remote', 'local', 'dynamic'] as const).flatMap((kind) => list.filter((one) => one.kind === kind)));

export const ciphers = fc.constantFrom('default', '^aes128-gcm@openssh.com,aes256-gcm@openssh.com', 'aes128-ctr', '+aes128-cbc', 'chacha20-poly1305@openssh.com');

/** A command to tell people with: any words that a line can hold. */
const notice = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  fc.array(fc.string({ unit: fc.oneof(fc.constantFrom(...` '"\\$%\`|&;<>()*?[]{}~#=-`), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 })) }).map((text) => text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\uFFFD]/gu, '')), { maxLength: 5 })
    .map((args) => ['/usr/local/bin/tell', ...args]),
);

export const tunnelOf = (scope: Scope): fc.Arbitrary<Tunnel> =>
  fc.record({
    name,
    scope: fc.constant(scope),
    host,
    user: fc.oneof({ weight: 3, arbitrary: user }, deviceAccount),
    port,
    jump: fc.array(fc.record({ host, user, port }), { maxLength: 2 }),
    forwards,
    identityFile: keyPath,
    keepalive: fc.integer({ min: 1, max: 3600 }),
    ciphers,
    release: fc.boolean(),
    onDown: notice,
    onUp: notice,
  }).map((drawn) => ({ ...drawn, release: drawn.release && isDeviceAccount(drawn.user) }));

export const tunnel = fc.oneof(tunnelOf('system'), tunnelOf('user'));
