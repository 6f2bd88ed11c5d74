import { ExpectedError } from '../errors.ts';
import { faultOf, type Observation, unsure } from './observation.ts';
import type { Part } from './patient.ts';

/** Milliseconds for all of it: nothing that is looked at may hold a person up for longer. */
export const TIME_FOR_ALL = 18_000;

/**
 * Looks at one part after the other, and hands each observation on as it is made. The first fault is the cause.
 * @param outOfTime aborted when the time is over: what is under way then is told as not known
 */
export async function* examine<Of>(of: Of, parts: readonly (readonly [check: string, part: Part<Of>])[], outOfTime: AbortSignal): AsyncGenerator<Observation> {
  for (const [check, part] of parts) {
    if (outOfTime.aborted) return yield unsure(check, 'not looked at: the time was over');
    try {
      if (!(yield* part(of))) return;
    } catch (error) {
      if (outOfTime.aborted) yield noAnswer(check);
      else if (error instanceof ExpectedError && error.id !== 'cancelled') return yield faultOf(check, error);
      else if (mayNot(error)) yield unsure(check, 'you may not look at it: try with sudo');
      else throw error;
    }
  }
}

/** What the end of the time cut short. */
export const noAnswer = (check: string) => unsure(check, 'no answer within the time for all of it');

/** The operating system keeps it from whoever asks. */
const mayNot = (error: unknown) => ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
