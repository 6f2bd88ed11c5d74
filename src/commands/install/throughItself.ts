import { carries, sessionWay } from '../../checks/carried.ts';
import { ExitCode, ExpectedError } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import type { Installed } from '../../unit/installed.ts';
import { systemctl } from '../../unit/systemctl.ts';
import type { Context } from '../context.ts';

/** Whether a tunnel that runs carries the session that this program was called from. */
export async function carriesThisSession({ machine, who }: Context, { scope, places, tunnel }: Pick<Installed, 'scope' | 'places' | 'tunnel'>): Promise<'yes' | 'perhaps' | 'no'> {
  const { ControlGroup } = await systemctl(machine, scope, who).show(places.unit, ['ControlGroup']);
  return ControlGroup === '' ? 'no' : carries(machine, await sessionWay(machine, who, tunnel?.forwards), ControlGroup, tunnel?.forwards);
}

/**
 * Holds back what would stop a tunnel under the feet of the person who asks for it.
 * @throws ExpectedError exit code 2, naming the flag for those who have another way in
 */
export async function requireNotCarried(context: Context, tunnels: readonly Pick<Installed, 'name' | 'scope' | 'places' | 'tunnel'>[], { acceptRisk }: Draft): Promise<void> {
  if (acceptRisk?.includes('lose-ssh') === true) return;
  for (const tunnel of tunnels) {
    const carried = await carriesThisSession(context, tunnel);
    if (carried !== 'no') throw wouldLoseSsh(`${cameThrough(tunnel.name, carried)}, and would end with it: from then on nobody gets in that way.`);
  }
}

export const cameThrough = (name: string, carried: 'yes' | 'perhaps') =>
  (carried === 'yes' ? `This session came through the tunnel ${name}` : `This session may have come through the tunnel ${name} (which way cannot be told: it is in tmux, a web terminal or the like, or comes over another machine)`);

export const wouldLoseSsh = (message: string, hint = '') =>
  new ExpectedError(ExitCode.usage, 'risk', message, `${hint}If you have another way in, add --accept-risk=lose-ssh`);
