import { refused } from '../../errors.ts';
import { runSteps } from '../../plan/run.ts';
import { type Step, titleOf } from '../../plan/step.ts';
import { CONFIRM_WITHIN, cutsOff, holdStep, withWayBack } from '../../plan/tryout.ts';
import { commandLine } from '../../shell.ts';
import { howToConnect } from '../../tunnel/connect.ts';
import type { Installed } from '../../unit/installed.ts';
import { readTryout, type Tryout } from '../../unit/tryout.ts';
import type { Context } from '../context.ts';
import type { Job } from './job.ts';
import { confirmCommand, type Pending, readPending } from '../pending.ts';
import { cameThrough, carriesThisSession, wouldLoseSsh } from './throughItself.ts';

/** How a change is made that cuts off the session it is made in. */
export interface TryoutPlan {
  readonly carried: 'yes' | 'perhaps';
  readonly seconds: number;
  readonly leftOver: boolean;
}

/**
 * Whether a plan has to be put on trial: it restarts the tunnel that carries this session, and nobody took that risk.
 * @throws ExpectedError while an earlier change waits to be confirmed, and where no trial could let anybody in again
 */
export async function tryoutFor(job: Job, steps: readonly Step[]): Promise<TryoutPlan | undefined> {
  const { tunnel, places, existing, draft, present, who } = job;
  if (!existing || steps.length === 0) return undefined;
  const earlier = await requireDecided(job, { ...tunnel, places });
  if (!cutsOff(steps, places) || draft.acceptRisk?.includes('lose-ssh') === true) return undefined;
  const carried = await carriesThisSession(job, existing);
  if (carried === 'no') return undefined;
  if (tunnel.scope === 'user' && !present.lingering) {
    throw wouldLoseSsh(`${cameThrough(tunnel.name, carried)}, which ends with the last session of ${who.userName}, as lingering is off: a change would end both.`, `First: loginctl enable-linger ${who.userName}\n`);
  }
  return { carried, seconds: draft.confirmWithin ?? CONFIRM_WITHIN, leftOver: earlier === 'left-over' };
}

export const withTryout = (steps: readonly Step[], { tunnel, places }: Job, { seconds, leftOver }: TryoutPlan): Step[] => withWayBack(steps, tunnel, places, seconds, leftOver);

/** Says it before the session is cut off: afterwards there may be nobody to read it. */
export function tellTryout({ tunnel, who, output }: Job, { carried, seconds }: TryoutPlan): void {
  const how = howToConnect(tunnel, who.sudoUser ?? who.userName);
  output.notice(
    `${cameThrough(tunnel.name, carried)}, which is now restarted. Log in anew within ${seconds} s:\n` +
    `${how ? `  ${commandLine(how.command)}\n` : ''}and type:\n  ${confirmCommand(tunnel.name, tunnel.scope, who)}\nOtherwise the tunnel comes back as it was.`,
  );
}

/** Begins the time in which the change has to be confirmed. @throws ExpectedError where the former tunnel is back already */
export async function hold({ machine, output, signal, tunnel, places, who }: Job, { seconds }: TryoutPlan, done: string[]): Promise<Pending | undefined> {
  const step = holdStep(tunnel.name, places, seconds);
  await runSteps(machine, [step], { signal, onDone: (title) => done.push(title), onNotice: output.notice });
  output.mark('unknown', titleOf(step)!);
  return readPending({ machine, who }, { ...tunnel, places });
}

/**
 * Sees that no earlier change of a tunnel is on trial: its time would put back what is changed now.
 * @returns `left-over` for what the clearing up after one has left
 * @throws ExpectedError that says whether it can be confirmed, or has to be waited for
 */
export async function requireDecided(here: Pick<Context, 'machine' | 'who'>, installed: Pick<Installed, 'name' | 'scope' | 'places'>): Promise<'left-over' | undefined> {
  const earlier = await readTryout(here.machine, installed.name, installed.places);
  if (earlier === undefined || earlier === 'left-over') return earlier;
  throw waiting(here.who, installed, earlier);
}

function waiting(who: Context['who'], { name, scope }: Pick<Installed, 'name' | 'scope'>, { until, complete }: Tryout) {
  const back = `the former tunnel comes back by itself${until ? ` at ${until.toISOString()}` : ''}`;
  return complete
    ? refused('on-trial', `An earlier change of ${name} waits to be confirmed.`, `Confirm it: ${confirmCommand(name, scope, who)}\nor wait: ${back}.`)
    : refused('on-trial', `An earlier change of ${name} was cut off before its end.`, `Wait: ${back}.`);
}
