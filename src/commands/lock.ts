import { LOCK_NAME, runtimeDirectory } from '../machine/machine.ts';
import type { Scope } from '../tunnel/tunnel.ts';
import type { Context } from './context.ts';

/** Does the work while no other run of ours changes the same service manager; a dry run need not wait. */
export async function withLock<T>({ machine, who, output }: Context, scope: Scope, needed: boolean, work: () => Promise<T>): Promise<T> {
  if (!needed) return work();
  // Both directories are gone after a reboot, and with them the file.
  const directory = scope === 'system' ? '/run' : runtimeDirectory(who);
  const unlock = await machine.lock(`${directory}/${LOCK_NAME}`, () => output.progress('Waiting for another revtun-setup to end …'));
  try {
    return await work();
  } finally {
    await unlock();
  }
}
