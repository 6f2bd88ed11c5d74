import type { ExpectedError } from '../errors.ts';

/** One link of the chain that was looked at. */
export interface Observation {
  /** What was looked at, in a word or two: `key`, `host key`. */
  readonly check: string;
  /** `unknown`: it could not be looked at, or nothing can be concluded; never a fault. */
  readonly level: 'ok' | 'unknown' | 'fault';
  /** What was seen, a sentence. */
  readonly says: string;
  /** Of a fault: the id under which the catalogue explains it. */
  readonly finding?: string;
  /** Of a fault: what mends it, a command where there is one. */
  readonly cure?: string;
  /** Of `longest drop`. */
  readonly seconds?: number;
}

export const sound = (check: string, says: string): Observation => ({ check, level: 'ok', says });
export const unsure = (check: string, says: string): Observation => ({ check, level: 'unknown', says });
export const fault = (check: string, finding: string, says: string, cure: string): Observation => ({ check, level: 'fault', finding, says, cure });

/** The error that an install would end with, as a finding: it reads the same here. */
export const faultOf = (check: string, { id, message, hint }: ExpectedError): Observation => fault(check, id, message, hint);
