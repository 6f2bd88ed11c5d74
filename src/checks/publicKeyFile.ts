import { InvalidValue, usage } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { parsePublicKey } from '../server/device.ts';

/** The public key in a file that `--key` names. @throws ExpectedError (usage) */
export async function readPublicKey(machine: Machine, path: string): Promise<string> {
  const text = (await machine.read(path).catch((error: NodeJS.ErrnoException) => {
    throw usage(`--key: ${path} cannot be read: ${error.message}`);
  }))?.toString();
  if (text === undefined) throw usage(`--key: there is no file ${path}`, 'Name the public half of the device\'s key; on the device: ssh-keygen -t ed25519');
  try {
    return parsePublicKey(text);
  } catch (error) {
    throw error instanceof InvalidValue ? usage(`--key: ${path}: ${error.message}`) : error;
  }
}
