import { commandLine } from '../shell.ts';
import type { Identity } from '../machine/machine.ts';
import { risksOf, type Tunnel } from '../tunnel/tunnel.ts';
import type { Installed } from '../unit/installed.ts';

/** Whose tunnel a command is about. */
export interface About {
  readonly who: Identity;
  readonly installed: Pick<Installed, 'scope' | 'name' | 'places'>;
}

/** A command of ours about this tunnel, on a line of its own, to be copied. */
export const revtun = (about: About, verb: string, ...flags: string[]) => line(about, ['revtun-setup', ...verb.split(' '), about.installed.name, ...flags]);

/** A command that changes something of this tunnel and leaves the rest as it is; its risks are accepted as they were. */
export const change = (about: About & { readonly tunnel: Pick<Tunnel, 'forwards'> }, ...flags: string[]) => {
  const accepted = risksOf(about.tunnel).map(({ risk }) => `--accept-risk=${risk}`);
  return revtun(about, 'install', ...flags, ...new Set(accepted.filter((flag) => !flags.includes(flag))));
};

/** systemctl to the manager that this tunnel's service belongs to. */
export const systemctlLine = (about: About, verb: string, named = true) =>
  line(about, ['systemctl', ...(about.installed.scope === 'user' ? ['--user'] : []), verb, ...(named ? [about.installed.places.unit] : [])]);

/** Root needs no sudo, and may have none. */
export const line = ({ who, installed: { scope } }: About, argv: readonly string[]) =>
  `  ${commandLine([...(scope === 'system' && (who.uid !== 0 || who.sudoUser !== undefined) ? ['sudo'] : []), ...argv])}`;

export const mendIt = (about: About) => `Mend it:\n${revtun(about, 'doctor --fix')}`;
