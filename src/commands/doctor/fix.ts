import { readFacts } from '../../checks/facts.ts';
import { MENDABLE, type Mending, planMending } from '../../doctor/mend.ts';
import type { Observation } from '../../doctor/observation.ts';
import { cancelled, failed, refused, usage } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { runSteps } from '../../plan/run.ts';
import { titlesOf } from '../../plan/step.ts';
import { commandLine } from '../../shell.ts';
import type { Installed } from '../../unit/installed.ts';
import type { Context } from '../context.ts';
import { conclude } from './doctor.ts';
import { causeIn, examination, findSubject } from './examination.ts';
import { requireDecided } from '../install/tryout.ts';
import { withLock } from '../lock.ts';
import { listed, tellingSteps } from '../steps.ts';

/**
 * Does what mends it and is safe to do here, as planned steps, and looks again afterwards.
 * @throws ExpectedError exit code 1 when a fault is left, 2 when a person has to agree first
 */
export async function doctorFix(context: Context, name: string | undefined, draft: Draft): Promise<void> {
  const subject = await findSubject(context, name, draft);
  if (subject?.scope === 'system' && context.who.uid !== 0) {
    throw failed('not-root', 'To mend a service of the system needs root.', `Type:\n  ${commandLine(['sudo', ...context.typed])}`);
  }
  await withLock(context, subject?.scope ?? 'system', subject !== undefined && draft.dryRun !== true, async () => {
    const seen = await examination(context, subject);
    const mending = await plan(context, subject, seen);
    const titles = titlesOf(mending?.steps ?? []);
    if (!mending || titles.length === 0) return conclude(context, subject, seen, { changed: false, steps: [] });
    if (draft.dryRun === true) return tellPlan(context, subject!, seen, titles, mending);
    await requireDecided(context, subject!);
    if (mending.cuts && draft.acceptRisk?.includes('lose-ssh') !== true) throw wouldCut(subject!);
    await confirm(context, draft, titles);
    const done = await carryOut(context, mending);
    context.output.progress('\nLooking again:');
    conclude(context, subject, await examination(context, subject), { changed: done.length > 0, steps: done });
  });
}

/** @returns undefined where nothing of what was found can be mended here */
async function plan({ machine, who, signal }: Context, subject: Installed | undefined, seen: readonly Observation[]): Promise<Mending | undefined> {
  if (!subject?.tunnel || !seen.some(({ finding }) => finding !== undefined && MENDABLE.has(finding))) return undefined;
  return planMending({ machine, who, facts: await readFacts(machine, who), signal, installed: subject, tunnel: subject.tunnel });
}

function tellPlan({ output }: Context, subject: Installed, seen: readonly Observation[], titles: readonly string[], { cuts }: Mending): void {
  output.progress(`\nWould do:\n${listed(titles)}`);
  if (cuts) output.notice(wouldCut(subject).message);
  output.object({ ok: true, changed: false, name: subject.name, scope: subject.scope, unit: subject.places.unit, steps: titles, finding: causeIn(seen)?.finding ?? null, checks: seen });
}

const wouldCut = ({ name }: Installed) =>
  refused('risk', `${name} is up, and this changes what it runs with: whoever is logged in through it loses the connection, for good if it does not come up again.`, 'If you have another way in, or can do without, add --accept-risk=lose-ssh');

/** @throws ExpectedError when the person says no, or there is none to ask */
async function confirm({ output, interactive, signal }: Context, { yes }: Draft, titles: readonly string[]): Promise<void> {
  output.notice(`\nThe plan:\n${listed(titles)}\n`);
  if (yes === true) return;
  if (!interactive || output.json) throw usage('There is nobody to ask whether to do this.', 'To do it without a question, add --yes.');
  const { openAsk } = await import('../../input/ask.ts');
  if (!(await openAsk(signal).yes('Do it?', true))) throw cancelled();
}

async function carryOut({ machine, output, signal }: Context, { steps }: Mending): Promise<string[]> {
  const done: string[] = [];
  let whole = true;
  try {
    await runSteps(machine, steps, { signal, ...tellingSteps(output, done), onHalfUndone: () => (whole = false) });
  } catch (error) {
    if (whole) output.notice('Undone: all is as it was before.');
    throw error;
  }
  return done;
}
