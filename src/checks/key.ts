import { hostname } from 'node:os';
import { join } from 'node:path';
import { ExitCode, ExpectedError, failed, personNeeded } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { commandLine } from '../shell.ts';
import type { KeyPair } from '../tunnel/key.ts';

/**
 * The public half of a private key that a service can use.
 * @returns `ssh-ed25519 AAAA…`, with the comment if the key holds one
 * @throws ExpectedError when it is missing, unreadable, no private key, of a kind that needs a person, or encrypted
 */
export async function publicKeyOf(machine: Machine, path: string): Promise<string> {
  const content = await readKey(machine, path);
  if (/^(ssh|ecdsa|sk)-\S+ AAAA/.test(content)) {
    throw bad('key-not-private', `--key: ${path} is a public key.`, `Name the private one: ${path.replace(/\.pub$/, '')}`);
  }
  if (content.startsWith('PuTTY-User-Key-File')) {
    throw bad('key-not-private', `--key: ${path} is in PuTTY's format.`, `Convert it: puttygen ${path} -O private-openssh -o ${path}.openssh`);
  }
  const { code, stdout, stderr } = await machine.run(['ssh-keygen', '-y', '-P', '', '-f', path], { timeoutMs: 10_000 });
  if (code !== 0) {
    if (/passphrase/.test(stderr)) {
      throw personNeeded(
        'key-passphrase',
        `--key: ${path} is protected by a passphrase, and a service has nobody to ask.`,
        `Use a key of its own: --generate-key. Or take the passphrase off: ${commandLine(['ssh-keygen', '-p', '-f', path])}`,
      );
    }
    if (/UNPROTECTED PRIVATE KEY FILE/.test(stderr)) {
      throw bad('key-too-open', `--key: ${path} can be read by others, so ssh does not use it.`, `Type: ${commandLine(['chmod', '600', path])}`);
    }
    throw bad('key-not-private', `--key: ${path} is no private key that ssh can read: ${stderr.trim().split('\n').at(-1) ?? ''}`, 'Name another with --key, or have one made with --generate-key.');
  }
  const key = stdout.trim();
  if (key.startsWith('sk-')) throw personNeeded('key-needs-touch', `--key: ${path} lives on a security key that wants to be touched, and a service cannot.`, 'Use a key of its own: --generate-key');
  return key;
}

/** Makes an ed25519 key without a passphrase in a directory of the caller's. @returns its path there, and both halves */
export async function generateKey(machine: Machine, directory: string, comment: string): Promise<KeyPair & { path: string }> {
  const path = join(directory, 'generated');
  const { code, stderr } = await machine.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path]);
  if (code !== 0) throw failed('key-not-made', `ssh-keygen could not make a key: ${stderr.trim()}`);
  const [privateKey, publicKey] = await Promise.all([machine.read(path), machine.read(`${path}.pub`)]);
  return { path, privateKey: String(privateKey), publicKey: String(publicKey).trim() };
}

/** Makes the key of a tunnel in a folder that is gone when the work with it is done. */
export async function withNewKey(machine: Machine, name: string, work: (key: KeyPair & { path: string }) => Promise<void>): Promise<void> {
  const directory = await machine.temporaryDirectory();
  try {
    await work(await generateKey(machine, directory, `revtun-${name}@${hostname()}`));
  } finally {
    await machine.removeTree(directory);
  }
}

async function readKey(machine: Machine, path: string): Promise<string> {
  try {
    const content = await machine.read(path);
    if (content) return content.toString('latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error; // no word of the system's about the file
    if (code === 'EACCES') throw failed('key-unreadable', `--key: ${path} may not be read by you.`, 'Run it with sudo, or name a key of yours.');
    throw bad('key-not-private', `--key: ${path} is not a file that can be read (${code}).`, 'Name a private key file.');
  }
  throw bad('key-missing', `--key: there is no file ${path}.`, `Name another, have one made with --generate-key, or type: ${commandLine(['ssh-keygen', '-t', 'ed25519', '-N', '', '-f', path])}`);
}

const bad = (id: string, message: string, hint: string) => new ExpectedError(ExitCode.usage, id, message, hint);
