import type { Proof } from '../../checks/verify.ts';
import { reasonSince } from '../../doctor/reason.ts';
import { ExpectedError, failed } from '../../errors.ts';
import type { Desired } from '../../plan/plan.ts';
import { type Carried, runSteps } from '../../plan/run.ts';
import type { Step } from '../../plan/step.ts';
import type { Pending } from '../pending.ts';
import { tellingSteps } from '../steps.ts';
import { failOnFault, prove, tellHowToConnect, tellStaleness, verifiedObject } from '../telling.ts';
import type { Decision } from './decide.ts';
import type { Job } from './job.ts';
import { hold, tellTryout, type TryoutPlan } from './tryout.ts';

/** Takes the steps, and proves what they came to. A change that turns out not to work is undone. @throws ExpectedError */
export async function carryOut(job: Job, { desired, steps, hostKeys }: Decision, tryout: TryoutPlan | undefined): Promise<void> {
  const { output, draft, tunnel, bench } = job;
  if (tryout) tellTryout(job, tryout);
  const done: string[] = [];
  const carried = await take(job, steps, done);
  try {
    const proofs = await prove(job, tunnel, bench, hostKeys, draft, desired.start);
    failOnFault(proofs, draft.acceptRisk);
    // Lingering that may not be switched on is tried again each time, and is nothing that changed.
    if (done.length === 0) output.progress(`${tunnel.name}: unchanged`);
    else {
      tellStaleness(output, tunnel);
      if (desired.start) tellHowToConnect(job, tunnel);
    }
    const pending = tryout && (await hold(job, tryout, done));
    output.object(reportOf(desired, done, { changed: done.length > 0, proofs, pending }));
  } catch (error) {
    if (await carried.undo()) tellUndone(job);
    throw error;
  }
}

/** What an install says as JSON. @param done steps that were taken, or that a dry run would take */
export const reportOf = (
  { tunnel, places, files }: Desired, done: readonly string[],
  { changed, proofs, pending }: { readonly changed: boolean; readonly proofs?: readonly Proof[] | undefined; readonly pending?: Pending | undefined },
) => ({
  ok: true, changed, name: tunnel.name, scope: tunnel.scope, unit: places.unit,
  files: files.map(({ path }) => path), steps: done, verified: verifiedObject(proofs), ...(pending && { pending }),
});

/** @param done is filled with what was done: a step that may fail is not always among it */
async function take(job: Job, steps: readonly Step[], done: string[]): Promise<Carried> {
  const { machine, who, output, tunnel, places, signal } = job;
  const since = new Date();
  let whole = true;
  const onHalfUndone = () => (whole = false);
  try {
    return await runSteps(machine, steps, { signal, ...tellingSteps(output, done), onHalfUndone });
  } catch (error) {
    if (whole) tellUndone(job);
    // What systemctl says of a failed start is where to look; what ssh said is the reason.
    if (!(error instanceof ExpectedError) || error.id !== 'step-failed' || !/systemctl.* (re)?start /.test(error.message)) throw error;
    const reason = await reasonSince(machine, tunnel.scope, who, places.unit, since);
    throw reason === undefined ? error : failed('start-failed', `The service did not come up: ${reason}`, error.message);
  }
}

const tellUndone = ({ output, existing }: Job) =>
  output.notice(existing ? 'Undone: the tunnel is as it was before.' : 'Undone: nothing of it is left on this machine.');
