import { CATALOGUE } from '../../doctor/catalogue.ts';
import type { Observation } from '../../doctor/observation.ts';
import { AlreadyTold, failed } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import type { Installed } from '../../unit/installed.ts';
import { narrow } from '../../wrap.ts';
import type { Context } from '../context.ts';
import { causeIn, examination, findSubject } from './examination.ts';

/**
 * Finds out why a tunnel does not work, link by link. Changes nothing.
 * @throws ExpectedError exit code 1 when there is a fault, 3 when there is no such tunnel
 */
export async function doctor(context: Context, name: string | undefined, draft: Draft): Promise<void> {
  const subject = await findSubject(context, name, draft);
  conclude(context, subject, await examination(context, subject), { changed: false });
}

/** What was done about it, for `--fix`. */
export interface Done {
  readonly changed: boolean;
  readonly steps?: readonly string[];
}

/**
 * Tells the cause and its cure, or that there is none.
 * @throws ExpectedError (told already) when there is a fault
 */
export function conclude(context: Context, subject: Installed | undefined, seen: readonly Observation[], done: Done): void {
  const output = narrow(context.output);
  const cause = causeIn(seen);
  const about = subject && { name: subject.name, scope: subject.scope, unit: subject.places.unit };
  const longestDrop = seen.find(({ seconds }) => seconds !== undefined)?.seconds;
  const answer = { ...done, ...about, finding: cause?.finding ?? null, checks: seen, ...(longestDrop !== undefined && { longestDrop }) };
  if (!cause) {
    const unknown = seen.some(({ level }) => level === 'unknown') ? '; of what is marked with ? nothing can be said' : '';
    output.progress(`\n${subject?.name ?? 'This machine'}: no fault found${unknown}`);
    output.object({ ok: true, ...answer });
    return;
  }
  const problem = failed(cause.finding!, cause.says, cause.cure);
  output.notice(`\n${cause.finding}: ${cause.says}`);
  if (problem.hint !== '') output.notice(problem.hint);
  if (Object.hasOwn(CATALOGUE, cause.finding!)) output.progress(`More of it: revtun-setup doctor --explain ${cause.finding}`);
  output.object({ ok: false, ...answer, error: { code: problem.id, message: problem.message, hint: problem.hint } });
  throw new AlreadyTold(problem);
}
