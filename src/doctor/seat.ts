import { withWorkbench, type Terms, type Workbench } from '../checks/workbench.ts';
import { lookUntil } from '../machine/lookUntil.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { systemctl } from '../unit/systemctl.ts';
import { readPinned } from '../unit/installed.ts';
import { hurried } from './inTime.ts';
import { SYSTEMD_LIMIT } from './machineParts.ts';
import type { Patient } from './patient.ts';

/** What a look at the server needs: ssh with the service's configuration, and the pinned host keys. */
export interface Seat {
  readonly bench: Workbench;
  readonly pinned: readonly string[];
}

/** A person waits: ssh gets four seconds to connect, and as long again to log in; with jump hosts, for all of it what the time allows. */
const soon = ({ jump }: Tunnel): Terms => ({ patience: { attempts: 1, connectTimeout: 4 }, limit: jump.length > 0 ? 12_000 : 9500 });

/** @param key whether the tunnel's key is to be used, which only its owner can */
export async function atServer<T>({ machine, tunnel, installed, signal }: Patient, key: boolean, work: (seat: Seat) => Promise<T>): Promise<T> {
  const pinned = await readPinned(machine, installed.places);
  return withWorkbench(machine, tunnel, key ? tunnel.identityFile : undefined, signal, async (bench) => {
    await bench.pin(pinned);
    return work({ bench, pinned });
  }, soon(tunnel));
}

/** The service at one moment. */
export interface Glance {
  readonly state: 'up' | 'connecting' | 'down';
  /** Another one at the next glance means that the service has begun or ended something in between. */
  readonly moment: string;
}

/** Where systemd does not say (to a user other than root), it counts as up: nothing is asked for that could collide. */
export async function glance({ machine, who, installed: { scope, places } }: Patient): Promise<Glance> {
  const found = await systemctl(hurried(machine, SYSTEMD_LIMIT), scope, who)
    .show(places.unit, ['ActiveState', 'SubState', 'NRestarts', 'ActiveEnterTimestampMonotonic', 'InactiveExitTimestampMonotonic'])
    .catch(() => undefined);
  if (!found) return { state: 'up', moment: '' };
  const { ActiveState: state } = found;
  return { state: state === 'active' || state === 'reloading' ? 'up' : state === 'activating' ? 'connecting' : 'down', moment: Object.values(found).join(' ') };
}

/** Waits while it is on its way up. @param patience milliseconds */
export const untilDecided = (patient: Patient, patience: number): Promise<Glance> =>
  lookUntil(({ state }) => state !== 'connecting', () => glance(patient), { limit: patience, every: 250, signal: patient.signal });
