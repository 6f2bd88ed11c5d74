import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { version } from '../../src/package.ts';
import { accountOf, defaultDeviceName, type Device, isPublicDevice, keyFileOf, parseDeviceName, parsePublicKey, readKeyFile, renderKeyFile } from '../../src/server/device.ts';
import { port } from '../tunnel/arbitrary.ts';

const ED25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEMS/aFtFmvIxiNRYQx/f+vA+7+l9GVKkGVWXuYwLxVz';
const home: Device = { name: 'home', uid: 65_536, port: 22_222, bind: '127.0.0.1', publicKey: `${ED25519} root@home` };

test('the key file of a device, whole', () => {
  expect(keyFileOf(home.uid)).toBe('/etc/ssh/revtun/65536');
  expect(renderKeyFile(home)).toBe(
    `# Written by revtun-setup ${version()} for device home; revoke it with: revtun-setup server remove home DEST
restrict,port-forwarding,permitlisten="127.0.0.1:22222",permitopen="127.0.0.1:22222" ${ED25519} root@home
`);
});

test.each([
  ['*', ':22222', 'localhost:22222'],
  ['0.0.0.0', '0.0.0.0:22222', '127.0.0.1:22222'],
  ['::', '[::]:22222', '[::1]:22222'],
  ['192.0.2.7', '192.0.2.7:22222', '192.0.2.7:22222'],
  ['localhost', 'localhost:22222', 'localhost:22222'],
])('a device that listens at %s', (bind, listen, open) => {
  expect(renderKeyFile({ ...home, bind })).toContain(`,permitlisten="${listen}",permitopen="${open}" ssh-`);
  expect(isPublicDevice({ bind })).toBe(bind !== 'localhost');
});

const bind = fc.oneof(fc.constantFrom('127.0.0.1', 'localhost', '*', '0.0.0.0', '::', '::1', '2001:db8::7'), fc.ipV4());
const name = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,24}$/);
const publicKey = fc.tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.array(fc.stringMatching(/^[^\p{C}\p{Z}\uFFFD]+$/u), { maxLength: 3 })).map(([point, comment]) => {
  const field = (bytes: Uint8Array) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  return ['ssh-ed25519', Buffer.concat([field(Buffer.from('ssh-ed25519')), field(point)]).toString('base64'), ...comment].join(' ');
});
const device: fc.Arbitrary<Device> = fc.record({ name, uid: fc.integer({ min: 65_536, max: 99_999 }), port, bind, publicKey });

test('a key file says the whole device', () => {
  fc.assert(fc.property(device, (one) => { expect(readKeyFile(one.uid, renderKeyFile(one))).toEqual(one); }));
});

test('a key file of another version is read, one that is changed in any character is not', () => {
  const text = renderKeyFile(home);
  expect(readKeyFile(home.uid, text.replace(version(), '9.9.9-beta'))).toEqual(home);
  fc.assert(fc.property(fc.nat(text.length - 1), fc.constantFrom('\n', '"', ' ', '#', 'é'), (at, other) => {
    const changed = `${text.slice(0, at)}${other}${text.slice(at + 1)}`;
    const read = readKeyFile(home.uid, changed);
    // The version and the comment are free text.
    expect(read === undefined || renderKeyFile(read) === text || /^.*\n.* \S+ \S*home\n$|@|root/.test(changed)).toBe(true);
  }));
});

test.each([
  ['an empty file', () => ''],
  ['no header', (text: string) => text.split('\n').slice(1).join('\n')],
  ['two keys', (text: string) => text + text.split('\n')[1] + '\n'],
  ['no permitopen', (text: string) => text.replace(/,permitopen="[^"]*"/, '')],
  ['another permitopen', (text: string) => text.replace(/(permitopen="127.0.0.1:)22222/, '$122')],
  ['one more option', (text: string) => text.replace('restrict,', 'restrict,pty,')],
  ['port 0', (text: string) => text.replaceAll('22222', '0')],
  ['a port with a leading zero', (text: string) => text.replaceAll('22222', '022222')],
  ['a wildcard', (text: string) => text.replaceAll('127.0.0.1', '*')],
  ['no end of the line', (text: string) => text.trimEnd()],
  ['another name in the hint', (text: string) => text.replace('remove home', 'remove away')],
])('a key file with %s is none of ours', (_, change) => {
  expect(readKeyFile(home.uid, change(renderKeyFile(home)))).toBeUndefined();
});

describe('names', () => {
  test.each(['a', 'home-1', '0_x', 'a'.repeat(25)])('%s', (text) => {
    expect(parseDeviceName(text)).toBe(text);
    expect(accountOf(text).length).toBeLessThanOrEqual(32);
  });
  test.each(['', '-a', '_a', 'A', 'a.b', 'a b', 'é', 'a\n', 'a'.repeat(26)])('not %j', (text) => {
    expect(() => parseDeviceName(text)).toThrow('cannot name a device');
  });
  test.each([['raspberrypi', 'raspberrypi'], ['Pi.local', 'pi'], ['--x--', 'x'], ['', 'device'], ['.', 'device'], ['ü ü', 'device'], ['a'.repeat(24) + '-b', 'a'.repeat(24)]])('%j gives %s', (hostname, given) => {
    expect(defaultDeviceName(hostname)).toBe(given);
  });
  test('any host name gives a name', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => { expect(parseDeviceName(defaultDeviceName(text))).toBeTruthy(); }));
  });
});

describe('public keys', () => {
  test.each([
    [`${ED25519}\n`, ED25519],
    [`\t${ED25519}  root@home \r\n`, `${ED25519} root@home`],
    [`${ED25519} a  b "c"`, `${ED25519} a b "c"`],
  ])('%j', (text, line) => { expect(parsePublicKey(text)).toBe(line); });
  test.each([
    ['', 'there is no key'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n', 'private key'],
    ['-----BEGIN RSA PRIVATE KEY-----\n', 'private key'],
    ['PuTTY-User-Key-File-3: ssh-ed25519\n', 'private key'],
    ['---- BEGIN SSH2 PUBLIC KEY ----\n', 'RFC 4716'],
    [`${ED25519}\n${ED25519}\n`, 'is more'],
    [`${ED25519} a\u001B[2Jb`, 'is more'],
    [`command="x" ${ED25519}`, 'no options'],
    [`# ${ED25519}`, 'no options'],
    ['ssh-ed25519', 'damaged'],
    [ED25519.slice(0, -4), 'damaged'],
    [`${ED25519}AAAA`, 'damaged'],
    [ED25519.replace('ssh-ed25519', 'ssh-rsa'), 'damaged'],
    [ED25519.replace('ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'), 'certificate'],
    [ED25519.replace('ssh-ed25519', 'sk-ssh-ed25519@openssh.com'), 'touched'],
    [ED25519.replace('ssh-ed25519', 'ssh-dss'), 'DSA'],
  ])('not %j', (text, why) => { expect(() => parsePublicKey(text)).toThrow(why); });
});
