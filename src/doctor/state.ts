import type { Identity, Machine } from '../machine/machine.ts';
import { runningSsh } from '../plan/present.ts';
import { tunnelArgv } from '../tunnel/ssh.ts';
import type { Installed } from '../unit/installed.ts';
import { systemctl } from '../unit/systemctl.ts';

/** What systemd says of a tunnel's service. */
export interface ServiceState {
  /** In one word: `up` only when the server has confirmed every forward. */
  readonly state: 'up' | 'connecting' | 'stopped' | 'failed';
  readonly enabled: boolean;
  /** Since when it is in this state; undefined if never. */
  readonly since: Date | undefined;
  /** Automatic restarts since it was last started by hand or at boot. */
  readonly restarts: number;
  /** The ssh that runs is not the one that the unit names, or has not read its configuration as it is now: they were changed without a restart. */
  readonly outdated: boolean;
}

const STATES: Readonly<Record<string, ServiceState['state']>> = { active: 'up', activating: 'connecting', reloading: 'up', failed: 'failed' };

export async function readState(machine: Machine, who: Identity, { scope, places, tunnel }: Installed): Promise<ServiceState> {
  const found = await systemctl(machine, scope, who).show(places.unit, ['ActiveState', 'UnitFileState', 'StateChangeTimestamp', 'NRestarts', 'ControlGroup']);
  const running = found.ControlGroup === '' ? undefined : await runningSsh(machine, found.ControlGroup, places);
  // "Sat 2026-11-21 08:00:00 UTC": Date.parse takes it without the weekday.
  const stamp = Date.parse(found.StateChangeTimestamp.replace(/^\w+ /, ''));
  return {
    state: STATES[found.ActiveState] ?? 'stopped',
    enabled: found.UnitFileState === 'enabled',
    since: Number.isNaN(stamp) ? undefined : new Date(stamp),
    restarts: Number(found.NRestarts) || 0,
    outdated: running !== undefined && tunnel !== undefined && (running.formerConfig || running.argv.join('\0') !== tunnelArgv(tunnel, places.sshConfig).join('\0')),
  };
}

/** A stretch of time in its two largest units: `3 d 4 h`, `12 s`. */
export function formatDuration(milliseconds: number): string {
  let seconds = Math.max(0, Math.round(milliseconds / 1000));
  const parts: string[] = [];
  for (const [unit, size] of [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]] as const) {
    const amount = Math.floor(seconds / size);
    if (amount > 0 || (unit === 's' && parts.length === 0)) parts.push(`${amount} ${unit}`);
    seconds -= amount * size;
  }
  return parts.slice(0, 2).join(' ');
}
