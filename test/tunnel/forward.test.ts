import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatForward, type Forward, type ForwardKind, isPublic, parseForward } from '../../src/tunnel/forward.ts';
import * as arbitrary from './arbitrary.ts';

const to22 = { host: 'localhost', port: 22 };

describe('a forward', () => {
  test.each<[ForwardKind, string, Omit<Forward, 'kind'>]>([
    ['remote', '22222:localhost:22', { listen: { port: 22222 }, target: to22 }],
    ['remote', '127.0.0.1:22222:localhost:22', { listen: { host: '127.0.0.1', port: 22222 }, target: to22 }],
    ['remote', '*:22222:localhost:22', { listen: { host: '*', port: 22222 }, target: to22 }],
    ['remote', '[::1]:22222:[fe80::1%lo]:22', { listen: { host: '::1', port: 22222 }, target: { host: 'fe80::1%lo', port: 22 } }],
    ['remote', '0:localhost:22', { listen: { port: 0 }, target: to22 }],
    ['remote', '22222:/run/a b.sock', { listen: { port: 22222 }, target: { path: '/run/a b.sock' } }],
    ['remote', '/run/there.sock:localhost:22', { listen: { path: '/run/there.sock' }, target: to22 }],
    ['remote', '/run/there.sock:/run/here.sock', { listen: { path: '/run/there.sock' }, target: { path: '/run/here.sock' } }],
    ['remote', '10.0.0.1:80:/run/here.sock', { listen: { host: '10.0.0.1', port: 80 }, target: { path: '/run/here.sock' } }],
    ['remote', '1080', { listen: { port: 1080 }, target: 'socks' }],
    ['remote', 'localhost:1080', { listen: { host: 'localhost', port: 1080 }, target: 'socks' }],
    ['local', '8080:intranet:80', { listen: { port: 8080 }, target: { host: 'intranet', port: 80 } }],
    ['local', '/run/x/y.sock:/var/run/docker.sock', { listen: { path: '/run/x/y.sock' }, target: { path: '/var/run/docker.sock' } }],
    ['dynamic', '1080', { listen: { port: 1080 }, target: 'socks' }],
    ['dynamic', '[::1]:1080', { listen: { host: '::1', port: 1080 }, target: 'socks' }],
  ])('%s %s is read, and written back as it was', (kind, text, meant) => {
    expect(parseForward(kind, text)).toEqual({ kind, ...meant });
    expect(formatForward(parseForward(kind, text))).toBe(text);
  });

  test.each<[ForwardKind, string, string]>([
    ['remote', ':22222:localhost:22', '*:22222:localhost:22'],
    ['remote', '[]:22222:localhost:22', '*:22222:localhost:22'],
    ['remote', '[*]:22222:[localhost]:22', '*:22222:localhost:22'],
    ['remote', '00080:localhost:022', '80:localhost:22'],
    ['dynamic', ':1080', '*:1080'],
  ])('%s %s is another way to write %s', (kind, text, same) => {
    expect(formatForward(parseForward(kind, text))).toBe(same);
  });

  test.each<[ForwardKind, string]>([
    ['remote', ''], ['remote', ':'], ['remote', '22222:'], ['remote', '22222:localhost'], ['remote', '22222:localhost:'],
    ['remote', '22222:localhost:22:'], ['remote', '65536:localhost:22'], ['remote', '-1:localhost:22'], ['remote', '22abc:localhost:22'],
    ['remote', '22222:localhost:0'], ['remote', '22222:localhost:70000'], ['remote', '22222:local host:22'], ['remote', '22222:$(id):22'],
    ['remote', '::1:22222:localhost:22'], ['remote', '22222:::1:22'], ['remote', '[::1:22222:localhost:22'], ['remote', '[::1]22222:localhost:22'],
    ['remote', '1:2:3:4:5'], ['remote', '22222:./x.sock'], ['remote', 'x.sock:localhost:22'], ['remote', '22222:/run/a:b.sock'],
    ['remote', '22222:/run/%h.sock'], ['remote', '22222:/run/${HOME}'], ['remote', String.raw`22222:/run/a\b`], ['remote', '22222:/run/a\nb'],
    ['remote', '22222:/run/x.sock '], ['remote', `22222:/${'x'.repeat(90)}`], ['remote', '22222:/run/\uFFFD.sock'], ['remote', '22222:/run/a\u2028b'],
    ['remote', '22222:-oProxyCommand=x:22'], ['remote', ' 22222:localhost:22'], ['remote', '22222:localhost:22\n'], ['remote', '２２:localhost:22'],
    ['local', '1080'], ['local', 'localhost:1080'], ['local', '0:localhost:22'], ['local', '/run/x.sock'],
    ['dynamic', '0'], ['dynamic', '1080:localhost:22'], ['dynamic', '/run/x.sock'], ['dynamic', 'a:b'],
  ])('%s %j is refused', (kind, text) => {
    expect(() => parseForward(kind, text)).toThrow(expect.objectContaining({ name: 'InvalidValue' }));
  });

  test.each([
    ['22222:localhost:22', false], ['localhost:1:h:2', false], ['127.0.0.1:1:h:2', false], ['127.8.8.8:1:h:2', false], ['[::1]:1:h:2', false],
    ['/run/x.sock:h:2', false], ['*:1:h:2', true], [':1:h:2', true], ['0.0.0.0:1:h:2', true], ['[::]:1:h:2', true], ['10.0.0.1:1:h:2', true],
    ['127.0.0.1.example.com:1:h:2', true], ['server.example.com:1:h:2', true],
  ])('-R %s: everyone may reach it: %p', (text, everyone) => {
    expect(isPublic(parseForward('remote', text))).toBe(everyone);
  });

  test('comes back from its text, whatever it is', () => {
    fc.assert(fc.property(arbitrary.forward, (forward) => {
      expect(parseForward(forward.kind, formatForward(forward))).toEqual(forward);
    }), { numRuns: 2000 });
  });
});
