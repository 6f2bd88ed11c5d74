import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateKey, publicKeyOf } from '../../src/checks/key.ts';
import { local } from '../../src/machine/local.ts';
import { makeKey } from '../lab/keys.ts';
import { freshFolder } from '../lab/paths.ts';

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = freshFolder();
  await Promise.all([
    makeKey(folder, { comment: 'me@here' }), makeKey(folder, { type: 'rsa' }), makeKey(folder, { type: 'ecdsa' }), makeKey(folder, { name: 'locked', passphrase: 'secret' }),
  ]);
  copyFileSync(at('id_ed25519'), at('open'));
  chmodSync(at('open'), 0o644);
  execFileSync('mkfifo', [at('fifo')]);
  mkdirSync(at('folder'));
  symlinkSync(at('id_ed25519'), at('link'));
  symlinkSync(at('nowhere'), at('dangling'));
  writeFileSync(at('text'), 'no key at all\n', { mode: 0o600 });
  writeFileSync(at('empty'), '', { mode: 0o600 });
  writeFileSync(at('cut'), readFileSync(at('id_ed25519'), 'utf8').slice(0, 200), { mode: 0o600 });
  writeFileSync(at('putty.ppk'), 'PuTTY-User-Key-File-3: ssh-ed25519\n', { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each(['id_ed25519', 'id_rsa', 'id_ecdsa', 'link'])('%s will do', async (name) => {
  const [type, blob] = (await publicKeyOf(local, at(name))).split(' ');
  expect(`${type} ${blob}`).toBe(readFileSync(at(`${name === 'link' ? 'id_ed25519' : name}.pub`), 'utf8').split(' ').slice(0, 2).join(' '));
});

describe('refused, with what to do:', () => {
  test.each([
    ['nowhere', 2, 'key-missing', 'ssh-keygen -t ed25519'],
    ['dangling', 2, 'key-missing', '--generate-key'],
    ['id_ed25519.pub', 2, 'key-not-private', 'id_ed25519'],
    ['putty.ppk', 2, 'key-not-private', 'puttygen'],
    ['locked', 4, 'key-passphrase', 'ssh-keygen -p -f'],
    ['open', 2, 'key-too-open', 'chmod 600'],
    ['text', 2, 'key-not-private', '--generate-key'],
    ['empty', 2, 'key-not-private', '--generate-key'],
    ['cut', 2, 'key-not-private', '--generate-key'],
    ['fifo', 2, 'key-not-private', 'private key file'],
    ['folder', 2, 'key-not-private', 'private key file'],
  ])('%s', async (name, exitCode, id, hint) => {
    await expect(publicKeyOf(local, at(name))).rejects.toThrow(expect.objectContaining({
      exitCode, id, message: expect.stringMatching(/^--key: /), hint: expect.stringContaining(hint),
    }));
  });

  test('a key of somebody else', async () => {
    const denied = { ...local, read: () => Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' })) };
    await expect(publicKeyOf(denied, '/root/k')).rejects.toThrow(expect.objectContaining({ id: 'key-unreadable', hint: expect.stringContaining('sudo') }));
  });

  test('a key that wants to be touched', async () => {
    // There is no security key here; ssh-keygen prints this for one.
    const scripted = {
      ...local, read: async () => Buffer.from('-----BEGIN OPENSSH PRIVATE KEY-----\n'),
      run: async () => ({ code: 0, stdout: 'sk-ssh-ed25519@openssh.com AAAA me\n', stderr: '', timedOut: false, stopped: false }),
    };
    await expect(publicKeyOf(scripted, '/k')).rejects.toThrow(expect.objectContaining({ id: 'key-needs-touch', exitCode: 4 }));
  });
});

test('a key that is made is ed25519, has no passphrase and nobody else can read it', async () => {
  const inside = at('made');
  mkdirSync(inside);
  const key = await generateKey(local, inside, 'revtun-home@box');
  expect(key.publicKey).toMatch(/^ssh-ed25519 \S+ revtun-home@box$/);
  expect(key.privateKey).toBe(readFileSync(key.path, 'utf8'));
  expect(statSync(key.path).mode & 0o777).toBe(0o600);
  expect(await publicKeyOf(local, key.path)).toBe(key.publicKey);
  await expect(generateKey(local, at('nowhere'), 'x')).rejects.toThrow(expect.objectContaining({ id: 'key-not-made' }));
});
