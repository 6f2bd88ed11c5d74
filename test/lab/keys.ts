import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { succeed } from './child.ts';

export type KeyType = 'ed25519' | 'rsa' | 'ecdsa';

export type Key = {
  /** The private key's file. */
  path: string;
  publicPath: string;
  /** One line, without the line break. */
  publicKeyLine: string;
  /** SHA256:… */
  fingerprint: string;
};

export type KeyOptions = { type?: KeyType; passphrase?: string; comment?: string; name?: string };

/** Makes a key pair in a folder, in files called `id_<type>` unless a name is given. */
export async function makeKey(folder: string, options: KeyOptions = {}): Promise<Key> {
  const { type = 'ed25519', passphrase = '', comment = '', name = `id_${type}` } = options;
  const path = join(folder, name);
  await succeed(['ssh-keygen', '-q', '-t', type, '-N', passphrase, '-C', comment, '-f', path]);
  return readKey(path);
}

/** Reads a key pair that is there. */
export async function readKey(path: string): Promise<Key> {
  const publicPath = `${path}.pub`;
  const listing = await succeed(['ssh-keygen', '-lf', publicPath]);
  return {
    path,
    publicPath,
    publicKeyLine: readFileSync(publicPath, 'utf8').trim(),
    fingerprint: listing.split(' ')[1] ?? '',
  };
}
