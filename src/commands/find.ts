import { notFound, usage } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import type { Scope } from '../tunnel/tunnel.ts';
import { findInstalled, findInstalledAnywhere, type Installed } from '../unit/installed.ts';
import type { Context } from './context.ts';

/** Every installed tunnel of the scope that is said, or of both. */
export const findAll = ({ machine, who }: Pick<Context, 'machine' | 'who'>, scope: Scope | undefined): Promise<Installed[]> =>
  (scope === undefined ? findInstalledAnywhere(machine, who) : findInstalled(machine, scope, who));

/**
 * The installed tunnel that a command means: by name, or the only one; in the scope that is said, or in either.
 * @throws ExpectedError exit code 3 when there is none, 2 when there are several
 */
export async function findTunnel({ machine, who }: Context, name: string | undefined, { scope }: Draft): Promise<Installed> {
  const all = await findAll({ machine, who }, scope);
  const matching = name === undefined ? all : all.filter((tunnel) => tunnel.name === name);
  if (matching.length === 1) return matching[0]!;
  if (matching.length === 0) {
    throw notFound('no-tunnel', name === undefined ? 'There is no tunnel on this machine.' : `There is no tunnel "${name}" on this machine.`, 'revtun-setup list shows all; revtun-setup makes one.');
  }
  throw usage(`Which one? ${matching.map((tunnel) => `${tunnel.name} (${tunnel.scope})`).join(', ')}`, name === undefined ? 'Name it.' : 'Say --scope system or --scope user.');
}
