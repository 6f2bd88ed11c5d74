import type { Scope } from '../tunnel/tunnel.ts';
import type { Installed } from '../unit/installed.ts';
import { readTryout } from '../unit/tryout.ts';
import type { Context } from './context.ts';

/** The `pending` part of a JSON answer: a change that goes back by itself unless it is confirmed. */
export interface Pending {
  readonly confirmBy: string;
  readonly confirm: string;
}

export async function readPending({ machine, who }: Pick<Context, 'machine' | 'who'>, { name, scope, places }: Pick<Installed, 'name' | 'scope' | 'places'>): Promise<Pending | undefined> {
  const found = await readTryout(machine, name, places);
  if (found === undefined || found === 'left-over' || !found.complete || !found.until) return undefined;
  return { confirmBy: found.until.toISOString(), confirm: confirmCommand(name, scope, who) };
}

export const confirmCommand = (name: string, scope: Scope, who: Context['who']) =>
  `${scope === 'system' && (who.uid !== 0 || who.sudoUser !== undefined) ? 'sudo ' : ''}revtun-setup confirm ${name}`;
