import { HERE } from './explainedHere.ts';
import { THERE } from './explainedThere.ts';

/** What a finding means, for whoever meets it. */
export interface Explanation {
  /** What a person notices. */
  readonly symptom: string;
  readonly cause: string;
  /** What to do, commands included. */
  readonly cure: string;
}

/** Every finding, by its id, in the order in which the doctor looks for them. Ids are stable. */
export const CATALOGUE: Readonly<Record<string, Explanation>> = { ...HERE, ...THERE };
