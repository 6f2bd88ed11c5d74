import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseHost } from '../../src/tunnel/destination.ts';
import {
  authorizedKeysLine, defaultName, fromSettings, parseCiphers, parseKeepalive, parseName, parsePath, risksOf, serverOf, silenceLimit, toSettings,
} from '../../src/tunnel/tunnel.ts';
import * as arbitrary from './arbitrary.ts';
import { exampleTunnel, forwards } from './example.ts';

const invalid = expect.objectContaining({ name: 'InvalidValue' });

describe('a name', () => {
  test.each(['home', '0', 'a.b_c-d', 'x'.repeat(40)])('%s will do', (text) => {
    expect(parseName(text)).toBe(text);
  });

  test.each(['', '.', '..', '.a', '-a', '_a', 'A', 'a b', 'a/b', '../a', 'a@b', 'a%i', 'a\n', 'ü', 'x'.repeat(41)])('%j will not', (text) => {
    expect(() => parseName(text)).toThrow(invalid);
  });

  test.each([
    ['tunl.example.com', 'tunl.example.com'], ['Tunl.Example.COM', 'tunl.example.com'], ['10.0.0.1', '10.0.0.1'],
    ['2001:db8::1', '2001-db8--1'], ['::1', '1'], ['::', 'tunnel'], ['fe80::1%eth0', 'fe80--1-eth0'], ['x'.repeat(200), 'x'.repeat(40)],
  ])('of a tunnel by %s is %s by default', (host, expected) => {
    expect(defaultName(host)).toBe(expected);
  });

  test('can be made of every host', () => {
    fc.assert(fc.property(arbitrary.host, (host) => {
      expect(parseName(defaultName(parseHost(host)))).toBe(defaultName(host));
    }));
  });
});

describe('a key path', () => {
  test.each(['/root/.ssh/id_ed25519', `/a/%h/$x/"q"/'s'/é😀:;#~`, `/${'x'.repeat(3999)}`])('%j can be named in a unit', (text) => {
    expect(parsePath(text)).toBe(text);
  });

  test.each(['', 'id', './id', '~/id', '/a b', '/a\tb', '/a\nb', String.raw`/a\b`, '/a\u0000b', '/a\u00A0b', '/a\u2028b', '/a\uFFFDb', `/${'x'.repeat(4000)}`])(
    '%j cannot', (text) => {
      expect(() => parsePath(text)).toThrow(invalid);
    },
  );
});

test.each(['default', 'aes128-ctr', '^aes128-gcm@openssh.com,aes256-gcm@openssh.com', '+aes128-cbc'])('ciphers may be %s', (text) => {
  expect(parseCiphers(text)).toBe(text);
});

test.each(['', '^', 'a,', ',a', 'a b', 'AES', 'a\nb', '$(id)', '-v', '^-v'])('ciphers may not be %j', (text) => {
  expect(() => parseCiphers(text)).toThrow(invalid);
});

test.each(['0', '3601', '-1', '1.5', '1e3', '', ' 4', '4s', '00004'])('a probe every %j seconds is refused', (text) => {
  expect(() => parseKeepalive(text)).toThrow(invalid);
});

test('a silent link is given up after three probes: ssh waits one interval more than it counts', () => {
  expect([1, 3, 3600].map((keepalive) => silenceLimit({ keepalive }))).toEqual([4, 12, 14_400]);
});

describe('the record', () => {
  test('speaks in the words of ssh_config', () => {
    const tunnel = exampleTunnel({
      jump: [{ host: 'gate.example.com', user: 'me', port: 2222 }, { host: '2001:db8::1', user: 'root', port: 22 }],
      forwards: forwards('-R 22222:localhost:22', '-R *:80:/run/web.sock', '-L 5432:db:5432', '-D 1080'),
    });
    expect(toSettings(tunnel)).toEqual([
      ['Host', 'tunl.example.com'],
      ['User', 'pi'],
      ['Port', '22'],
      ['ProxyJump', 'me@gate.example.com:2222,root@[2001:db8::1]:22'],
      ['RemoteForward', '22222:localhost:22'],
      ['RemoteForward', '*:80:/run/web.sock'],
      ['LocalForward', '5432:db:5432'],
      ['DynamicForward', '1080'],
      ['IdentityFile', '/root/.ssh/id_ed25519'],
      ['ServerAliveInterval', '3'],
      ['Ciphers', 'default'],
      ['ReleaseOnArrival', 'no'],
    ]);
  });

  test('gives back every tunnel as it was', () => {
    fc.assert(fc.property(arbitrary.tunnel, (tunnel) => {
      expect(fromSettings(tunnel.name, tunnel.scope, toSettings(tunnel))).toEqual(tunnel);
    }), { numRuns: 1000 });
  });

  const settings = toSettings(exampleTunnel());

  test('may hold words that a newer program wrote', () => {
    expect(fromSettings('home', 'system', [['Colour', 'blue'], ...settings])).toEqual(exampleTunnel());
  });

  test.each(['Host', 'User', 'Port', 'IdentityFile', 'ServerAliveInterval', 'Ciphers'])('is of no use without %s', (missing) => {
    expect(() => fromSettings('home', 'system', settings.filter(([key]) => key !== missing))).toThrow(`${missing}= is missing`);
  });

  test.each([['Host', '-oProxyCommand=x'], ['User', 'a b'], ['Port', '0'], ['RemoteForward', 'nonsense'], ['IdentityFile', 'relative'], ['Ciphers', '"']])(
    'is of no use with %s=%s', (key, value) => {
      expect(() => fromSettings('home', 'system', [...settings.filter(([other]) => other !== key), [key, value]])).toThrow(invalid);
    },
  );
});

describe('what has to be meant by name', () => {
  test.each([
    ['-R 22222:localhost:22', []],
    ['-R 127.0.0.1:22222:localhost:22', []],
    ['-L *:8080:localhost:80', ['public']],
    ['-D *:1080', ['public']],
    ['-L 8080:localhost:80', []],
    ['-R /run/x.sock:localhost:22', ['stale-socket']],
    ['-R *:22222:localhost:22', ['public']],
    ['-R 1080', ['remote-socks']],
    ['-R 0:localhost:22', ['dynamic-port']],
    ['-R *:0', ['public', 'remote-socks', 'dynamic-port']],
  ])('%s: %j', (spec, risks) => {
    expect(risksOf({ forwards: forwards(spec) }).map(({ risk }) => risk)).toEqual(risks);
    for (const { why } of risksOf({ forwards: forwards(spec) })) expect(why).toContain(spec);
  });
});

describe('the line for authorized_keys', () => {
  test.each([
    ['-R 22222:localhost:22', 'permitlisten="localhost:22222",permitopen="localhost:22222"'],
    ['-R localhost:22222:localhost:22', 'permitlisten="localhost:22222",permitopen="localhost:22222"'],
    ['-R 127.0.0.1:22222:localhost:22', 'permitlisten="127.0.0.1:22222",permitopen="127.0.0.1:22222"'],
    ['-R [::1]:22222:localhost:22', 'permitlisten="[::1]:22222",permitopen="[::1]:22222"'],
    ['-R 0.0.0.0:80:localhost:80', 'permitlisten="0.0.0.0:80",permitopen="127.0.0.1:80"'],
    ['-R 192.0.2.1:80:localhost:80', 'permitlisten="192.0.2.1:80",permitopen="192.0.2.1:80"'],
    ['-R *:80:localhost:80', 'permitlisten=":80",permitopen="localhost:80"'],
    ['-R 0:localhost:22', 'permitlisten="localhost:*",permitopen="localhost:1"'],
    ['-R /run/x.sock:localhost:22', 'permitlisten="localhost:1",permitopen="localhost:1"'],
    ['-L 8080:intra.test:80', 'permitlisten="localhost:1",permitopen="intra.test:80"'],
    ['-D 1080', 'permitlisten="localhost:1"'],
  ])('admits %s and its proof', (spec, options) => {
    expect(authorizedKeysLine(exampleTunnel({ forwards: forwards(spec) }), 'ssh-ed25519 AAAA me')).toBe(`restrict,port-forwarding,command="/bin/false",${options} ssh-ed25519 AAAA me`);
  });

  test('says nothing twice, and nothing of what only concerns this end', () => {
    const tunnel = exampleTunnel({ forwards: forwards('-R 1:a:1', '-R localhost:1:b:1', '-R /run/x.sock:d:4') });
    expect(authorizedKeysLine(tunnel, 'KEY')).toBe('restrict,port-forwarding,command="/bin/false",permitlisten="localhost:1",permitopen="localhost:1" KEY');
  });
});

test.each([
  [{}, 'pi@tunl.example.com'],
  [{ port: 2222 }, 'pi@tunl.example.com:2222'],
  [{ host: '2001:db8::1' }, 'pi@[2001:db8::1]'],
  [{ host: '2001:db8::1', port: 1 }, 'pi@[2001:db8::1]:1'],
])('the server of %j is written %s', (changes, text) => {
  expect(serverOf(exampleTunnel(changes))).toBe(text);
});
