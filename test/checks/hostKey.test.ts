import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprint, lookUp, trustHostKeys, type TrustWish } from '../../src/checks/hostKey.ts';
import { withWorkbench } from '../../src/checks/workbench.ts';
import { local } from '../../src/machine/local.ts';
import type { Identity } from '../../src/machine/machine.ts';
import { succeed } from '../lab/child.ts';
import { type KeyType, makeKey, startSshd, type Key, type Sshd } from '../lab/sshd.ts';
import { freshFolder } from '../lab/paths.ts';
import { exampleTunnel } from '../tunnel/example.ts';

let home: string;
let sshd: Sshd;
let other: Key;
const types: KeyType[] = ['ed25519', 'rsa', 'ecdsa'];
beforeAll(async () => {
  home = freshFolder();
  [sshd, other] = await Promise.all([startSshd({ hostKeys: types }), makeKey(home)]);
  await succeed(['mkdir', '-p', join(home, '.ssh')]);
});
afterAll(async () => {
  await sshd.dispose();
  rmSync(home, { recursive: true });
});

const keyOf = (line: string) => {
  const [type = '', blob = ''] = line.split(' ');
  return { type, blob };
};

test.each(types)("the fingerprint of an %s key is ssh-keygen's", async (type) => {
  const key = await makeKey(home, { type, name: `fp_${type}` });
  expect(fingerprint(keyOf(key.publicKeyLine))).toBe(key.fingerprint);
});

test('known_hosts is read by ssh-keygen: hashed names, ports, comments; no authority, nothing revoked', async () => {
  const file = join(home, 'known');
  const line = other.publicKeyLine;
  writeFileSync(file, [
    '# comment', `plain,10.0.0.1 ${line} somebody`, `[plain]:2222 ${line}`, `hashed ${line}`, `@cert-authority authority ${line}`, `@revoked revoked ${line}`, `*.wild.example ${line}`, '',
  ].join('\n'));
  const hash = async () => succeed(['ssh-keygen', '-q', '-H', '-f', file]);
  const found = async (name: string) => (await lookUp(local, name, file)).length;
  const names = ['plain', '10.0.0.1', '[plain]:2222', 'hashed', 'x.wild.example', 'authority', 'revoked', 'absent', '[hashed]:2222'];
  const counts = [1, 1, 1, 1, 1, 0, 0, 0, 0];
  expect(await Promise.all(names.map(found))).toEqual(counts);
  await hash();
  expect(readFileSync(file, 'utf8')).toContain('|1|');
  expect(await Promise.all(names.map(found))).toEqual(counts);
  expect(await lookUp(local, 'hashed', file)).toEqual([{ key: keyOf(line), file }]);
  expect(await lookUp(local, 'plain', join(home, 'nowhere'))).toEqual([]);
});

/** Asks the real server; what is known is in ~/.ssh/known_hosts of a home of our own, or pinned. */
const trust = (wish: TrustWish, { known = '', pinned = [] }: { known?: string; pinned?: string[] } = {}) => {
  writeFileSync(join(home, '.ssh/known_hosts'), known);
  const who: Identity = { uid: 1000, userName: 'ann', home, env: {} };
  const tunnel = exampleTunnel({ host: '127.0.0.1', port: sshd.port, user: sshd.user });
  return withWorkbench(local, tunnel, undefined, new AbortController().signal, (bench) => trustHostKeys(local, who, tunnel, bench, wish, pinned));
};
const needsPerson = (id: string, message: string, hint: string) =>
  expect.objectContaining({ exitCode: 4, id, message: expect.stringContaining(message), hint: expect.stringContaining(hint) });
const pinnedLine = (type: string) => sshd.knownHostsLines().split('\n').find((line) => line.includes(` ${type} `))!.split(' ').slice(0, 3).join(' ');

test('an unknown key is refused, and its fingerprint shown with the flag that says it', async () => {
  await expect(trust({})).rejects.toThrow(needsPerson('host-key-unknown', sshd.hostKeyFingerprint(), `--host-key ${sshd.hostKeyFingerprint()}`));
});

test.each([0, 1, 2])('the fingerprint of any of its keys will do (%i)', async (index) => {
  const key = sshd.hostKeys()[index]!;
  const { lines, reasons } = await trust({ fingerprints: [key.fingerprint] });
  expect(lines).toEqual([`[127.0.0.1]:${sshd.port} ${key.publicKeyLine.split(' ').slice(0, 2).join(' ')}`]);
  expect(reasons.join()).toContain('(as given)');
});

test('a fingerprint that is none of its keys is refused, with all that it showed', async () => {
  await expect(trust({ fingerprints: [other.fingerprint] })).rejects.toThrow(needsPerson('host-key-mismatch', sshd.hostKeys()[2]!.fingerprint, 'in between'));
});

test('a new key can be accepted as it is', async () => {
  const { lines, reasons } = await trust({ acceptNew: true });
  expect(lines).toEqual([pinnedLine('ssh-ed25519')]);
  expect(reasons.join()).toContain('(accepted now)');
});

test('what the user knows is pinned without asking, what is pinned already comes first', async () => {
  const known = sshd.knownHostsLines();
  expect((await trust({}, { known })).lines).toEqual(known.trim().split('\n').map((line) => line.split(' ').slice(0, 3).join(' ')));
  const { lines, reasons } = await trust({}, { known, pinned: [pinnedLine('ssh-rsa')] });
  expect(lines).toEqual([pinnedLine('ssh-rsa')]);
  expect(reasons.join()).toContain('known from the installed tunnel');
});

test('a file that is named has to hold the key', async () => {
  const file = join(home, 'given');
  writeFileSync(file, sshd.knownHostsLines());
  expect((await trust({ knownHostsFile: file })).lines).toHaveLength(3);
  writeFileSync(file, sshd.knownHostsLines('elsewhere'));
  await expect(trust({ knownHostsFile: file })).rejects.toThrow(needsPerson('host-key-unknown', file, '--host-key'));
});

test('a person is shown what the server shows, next to what was known', async () => {
  const asked: unknown[] = [];
  await trust({ confirm: async (situation) => void asked.push(situation) }, { known: `[127.0.0.1]:${sshd.port} ${other.publicKeyLine}\n` });
  expect(asked).toEqual([{
    server: `[127.0.0.1]:${sshd.port}`,
    shown: keyOf(sshd.hostKeys()[0]!.publicKeyLine),
    known: [{ key: keyOf(other.publicKeyLine), file: join(home, '.ssh/known_hosts') }],
  }]);
  await expect(trust({ confirm: () => Promise.reject(new Error('no')) })).rejects.toThrow('no');
});
