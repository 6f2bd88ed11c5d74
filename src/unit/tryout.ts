import { join } from 'node:path';
import type { Machine } from '../machine/machine.ts';
import type { Forward } from '../tunnel/forward.ts';
import { type Installed, recordedIn } from './installed.ts';
import type { Places } from './places.ts';

/** Where a change that has yet to be confirmed keeps the way back. No tunnel can be called like these. */
export interface TryoutPlaces {
  readonly directory: string;
  /** As the plan writes them: the script makes of them what lasts. */
  readonly scriptSource: string;
  readonly restorerSource: string;
  readonly script: string;
  /** The former tunnel's unit: the first file that is kept. */
  readonly formerUnit: string;
  /** There once the way back is whole; gone as soon as nothing is to be put back any more. */
  readonly armed: string;
  /** When the former tunnel comes back, as ISO 8601; gone once it is back. */
  readonly until: string;
  /** There once the change is complete. */
  readonly complete: string;
  /** There once it is decided. */
  readonly decision: string;
  /** The unit that puts the former tunnel back: by a timer, or at boot. */
  readonly restorer: string;
  readonly restorerFile: string;
}

export function tryoutPlaces(name: string, { ours, unit, unitDirectory }: Pick<Places, 'ours' | 'unit' | 'unitDirectory'>): TryoutPlaces {
  const directory = join(ours, `.former-${name}`);
  const restorer = `former-${unit}`;
  return {
    directory,
    scriptSource: join(directory, 'restore.sh'),
    restorerSource: join(directory, 'unit'),
    script: join(directory, 'restore'),
    formerUnit: join(directory, '1'),
    armed: join(directory, 'armed'),
    until: join(directory, 'until'),
    complete: join(directory, 'complete'),
    decision: join(directory, 'decision'),
    restorer,
    restorerFile: join(unitDirectory, restorer),
  };
}

/** A change of a tunnel that is not confirmed yet. */
export interface Tryout {
  /** When the former tunnel comes back by itself; undefined before that is settled. */
  readonly until: Date | undefined;
  /** Made, started and proven. One that was cut off is not, and cannot be confirmed. */
  readonly complete: boolean;
}

/** @returns `left-over` for what was cut off before anything was changed, or while it cleared up: it puts nothing back; undefined where nothing is */
export async function readTryout(machine: Machine, name: string, places: Places): Promise<Tryout | 'left-over' | undefined> {
  const at = tryoutPlaces(name, places);
  const [directory, armed, restorer, complete, until] = await Promise.all([
    machine.stat(at.directory), machine.stat(at.armed), machine.stat(at.restorerFile), machine.stat(at.complete), machine.read(at.until),
  ]);
  if (!directory) return undefined;
  if (!armed || !restorer) return 'left-over';
  const time = Date.parse(until?.toString().trim() ?? '');
  return { until: Number.isNaN(time) ? undefined : new Date(time), complete: complete !== undefined };
}

/** What a tunnel forwards, and what it did before a change that is not confirmed; undefined where one of its records cannot be read. */
export async function forwardsOnTrial(machine: Machine, { name, scope, places, tunnel }: Pick<Installed, 'name' | 'scope' | 'places' | 'tunnel'>): Promise<readonly Forward[] | undefined> {
  const former = await recordedIn(machine, tryoutPlaces(name, places).formerUnit, name, scope);
  return tunnel && former && [...tunnel.forwards, ...former.forwards];
}
