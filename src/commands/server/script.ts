import { readPublicKey } from '../../checks/publicKeyFile.ts';
import { usage } from '../../errors.ts';
import { type Assumed, serverAddScript, serverSetupScript } from '../../plan/serverScript.ts';
import type { Context } from '../context.ts';
import type { AddWish } from './add.ts';

/** Prints `server setup` as a script; touches nothing. */
export function serverScriptSetup(context: Context, assumed: Assumed): void {
  print(context, serverSetupScript(assumed));
}

/**
 * Prints `server add` as a script; touches nothing.
 * @param uid of the device's account, as it was typed; undefined for the one that follows from its name
 * @throws ExpectedError
 */
export async function serverScriptAdd(context: Context, { keyFile, port, ...wish }: AddWish, selinux: boolean, uid?: string): Promise<void> {
  if (port === undefined) throw usage('--remote-port: a script cannot look for a free port before it is made.', 'Choose one from 20000 to 32767; the script looks whether it is free.');
  if (uid !== undefined && !/^[1-9]\d{0,4}$/.test(uid)) throw usage(`--uid: ${JSON.stringify(uid)} is not a user id of devices`);
  const publicKey = await readPublicKey(context.machine, keyFile);
  print(context, serverAddScript({ ...wish, port, publicKey }, keyFile.replace(/\.pub$/, ''), selinux, uid === undefined ? undefined : Number(uid)));
}

function print({ output }: Context, script: string): void {
  output.object({ ok: true, changed: false, script });
  if (!output.json) output.result(script);
}
