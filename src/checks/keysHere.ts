import { join } from 'node:path';
import { ExpectedError } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { publicKeyOf } from './key.ts';

/** A private key that a person has, and whether a service could use it. */
export interface KeyHere {
  readonly path: string;
  /** `ed25519`, `rsa`, …; empty where even that cannot be read. */
  readonly type: string;
  readonly comment: string;
  readonly publicKey?: string;
  /** Why a service cannot use it. */
  readonly trouble?: string;
}

const TROUBLES: Readonly<Record<string, string>> = {
  'key-passphrase': 'has a passphrase, which a service has nobody to ask for',
  'key-needs-touch': 'has to be touched, and a service cannot',
  'key-too-open': 'can be read by others, so ssh does not use it (chmod 600)',
  'key-unreadable': 'may not be read by you',
};

/**
 * The private keys in a ~/.ssh and among other files; the usable ones first, and of those ed25519.
 * @param others paths that ssh_config names, wherever they lie
 */
export async function keysHere(machine: Machine, directory: string, others: readonly string[]): Promise<KeyHere[]> {
  const names = await machine.list(directory).catch(() => []);
  const paths = [...new Set([...others, ...names.map((name) => join(directory, name))])].filter((path) => !path.endsWith('.pub'));
  const keys = (await Promise.all(paths.map((path) => lookAt(machine, path)))).flat();
  const rank = ({ trouble, type }: KeyHere) => (trouble === undefined ? 0 : 2) + (type === 'ed25519' ? 0 : 1);
  return keys.toSorted((a, b) => rank(a) - rank(b));
}

async function lookAt(machine: Machine, path: string): Promise<KeyHere[]> {
  const found = await machine.stat(path);
  if (!found || found.kind === 'directory' || found.size > LARGEST || !(await looksLikeKey(machine, path))) return [];
  try {
    const publicKey = await publicKeyOf(machine, path);
    return [{ path, publicKey, ...partsOf(publicKey) }];
  } catch (error) {
    const trouble = error instanceof ExpectedError ? TROUBLES[error.id] : undefined;
    if (trouble === undefined) return [];
    const publicHalf = (await machine.read(`${path}.pub`).catch(() => undefined))?.toString() ?? '';
    return [{ path, trouble, ...partsOf(publicHalf) }];
  }
}

/** Bytes; an RSA key of 16384 bits has some 12,000. */
const LARGEST = 100_000;

/** A file that may not be read could be one, and is worth a word. */
async function looksLikeKey(machine: Machine, path: string): Promise<boolean> {
  try {
    return /^-----BEGIN [A-Z ]*PRIVATE KEY-----/.test((await machine.read(path))?.toString('latin1') ?? '');
  } catch {
    return /\/id_\w+$/.test(path);
  }
}

function partsOf(publicKey: string): { type: string; comment: string } {
  const [, type = '', comment = ''] = /^(\S+) \S+ ?(.*)/.exec(publicKey.trim()) ?? [];
  return { type: type.replace(/^ssh-|^ecdsa-sha2-|@openssh\.com$/g, ''), comment: comment.replaceAll(/\p{Cc}/gu, '') };
}
