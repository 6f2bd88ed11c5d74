import type { Facts } from '../checks/facts.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import type { Installed } from '../unit/installed.ts';
import type { Observation } from './observation.ts';

/** The machine that is looked at. */
export interface Host {
  readonly machine: Machine;
  readonly who: Identity;
  readonly facts: Facts;
  /** Aborted by Ctrl-C, and when the time for all of it is over. */
  readonly signal: AbortSignal;
}

/** A tunnel that is looked at, and where. */
export interface Patient extends Host {
  readonly installed: Installed;
  readonly tunnel: Tunnel;
}

/**
 * A part of the chain: says what it sees, link by link, and ends early where the rest of it would only show what
 * follows from a fault. It changes nothing, and waits for nothing longer than a few seconds.
 * @returns whether the parts after it still mean something
 */
export type Part<Of = Patient> = (of: Of) => AsyncGenerator<Observation, boolean>;
