import { describe, expect, test } from '@jest/globals';
import { formatDestination, parseDestination } from '../../src/tunnel/destination.ts';

describe('a destination', () => {
  test.each([
    ['tunl.example.com', { host: 'tunl.example.com' }],
    ['pi@tunl.example.com:2222', { user: 'pi', host: 'tunl.example.com', port: 2222 }],
    ['root@[2001:db8::1]:22', { user: 'root', host: '2001:db8::1', port: 22 }],
    ['[fe80::1%eth0]', { host: 'fe80::1%eth0' }],
  ])('%s is read, and written back as it was', (text, value) => {
    expect(parseDestination(text)).toEqual(value);
    expect(formatDestination(parseDestination(text))).toBe(text);
  });

  test.each([
    '', '-oProxyCommand=x', 'a b', 'a;b', '$(id)', 'a`b`', '2001:db8::1', 'host:0', 'host:65536', 'host:22abc', 'host:', '@host',
    'pi@', '-l@host', 'pi@-oX', 'a\nb', '[::1', 'host%h', '${HOME}', 'a'.repeat(300), 'ho\u0000st', 'h\u00f6st',
  ])('%j is refused', (text) => {
    expect(() => parseDestination(text)).toThrow(/./);
  });
});
