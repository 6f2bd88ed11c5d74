import { checkWhatHolds, type ServerFinding } from '../../checks/serverCheck.ts';
import { cancelled, failed } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { type Carried, runSteps } from '../../plan/run.ts';
import { type Step, titleOf, titlesOf } from '../../plan/step.ts';
import type { Machine } from '../../machine/machine.ts';
import { SERVER } from '../../server/places.ts';
import type { ServerState } from '../../server/state.ts';
import { listed, tellingSteps } from '../steps.ts';
import type { AtServer } from './login.ts';

/** What became of a plan. */
export interface Change {
  /** What was done, or with `--dry-run` would be. */
  readonly steps: readonly string[];
  readonly changed: boolean;
  undo(): Promise<boolean>;
}

/**
 * Shows a plan to whoever sits at a terminal and did not say yes beforehand, and carries it out; a dry run tells it.
 * @throws ExpectedError when a step fails, or the person says no; what was done is undone then
 */
export async function change(at: AtServer, steps: readonly Step[], { dryRun, yes }: Draft): Promise<Change> {
  const titles = titlesOf(steps);
  const nothing = { changed: false, undo: () => Promise.resolve(true) };
  const { signal, interactive, server, output } = at;
  if (titles.length === 0) return { ...nothing, steps: [] };
  if (dryRun === true) {
    output.progress(`Would do:\n${listed(titles)}`);
    return { ...nothing, steps: titles };
  }
  if (interactive && yes !== true && !output.json) {
    output.notice(`The plan:\n${listed(titles)}\n`);
    const { openAsk } = await import('../../input/ask.ts');
    if (!(await openAsk(signal).yes('Do it?', true))) throw cancelled();
  }
  const done: string[] = [];
  let whole = true;
  const told = new Set<string>();
  const onNotice = (message: string) => {
    if (!told.has(message)) output.notice(message);
    told.add(message);
  };
  try {
    const carried: Carried = await runSteps(server, steps, { signal, ...tellingSteps(output, done), onNotice, onHalfUndone: () => (whole = false) });
    return { steps: done, changed: done.length > 0, undo: () => carried.undo() };
  } catch (error) {
    output.notice(await whatIsLeft(server, reached(steps, done), whole, signal.aborted));
    throw error;
  }
}

/** How far a change of sshd's configuration has come. */
type Reached = 'untouched' | 'armed' | 'kept';

function reached(steps: readonly Step[], done: readonly string[]): Reached {
  const isDone = (role: string) => steps.some((step) => step.kind === 'run' && step.argv[1] === SERVER.restore && step.argv[2] === role && done.includes(titleOf(step) ?? ''));
  if (isDone('disarm')) return 'kept';
  return isDone('arm') ? 'armed' : 'untouched';
}

/** Said when all that was done on the server is undone. */
export const AS_BEFORE = 'Undone: the server is as it was before.';

const WHEN_LOST: Readonly<Record<Reached, string>> = {
  untouched: "sshd's own configuration was not touched",
  armed: "sshd's own configuration puts itself back within a minute, unless the last step still got through",
  kept: "sshd's own configuration is the new one, which a new login was seen to work with",
};

/** Looked up, not assumed: whether people get in again is what matters after a change of sshd's configuration failed. */
async function whatIsLeft(server: Machine, sshd: Reached, whole: boolean, cancelled: boolean): Promise<string> {
  const inVain = async (work: () => Promise<unknown>) => work().then(() => undefined, (error: unknown) => (error as Error).message);
  if (!whole && (await inVain(() => server.run(['true']))) !== undefined) {
    return `Not all of it could be undone, as the connection is gone: ${WHEN_LOST[sshd]}. The next run goes on from there.`;
  }
  const refusal = sshd === 'untouched' || (whole && cancelled) ? undefined : await inVain(() => server.reconnect());
  if (refusal !== undefined) {
    return `No new login gets in any more, though the change is taken back: ${refusal}\nSomething else in sshd's configuration must have come into force with the reload. Keep the sessions that you have, and mend it over them: sshd -t, sshd -T`;
  }
  return whole ? AS_BEFORE : `Not all of it could be undone, as said above.${sshd === 'untouched' ? '' : ' New logins get in.'}`;
}

/**
 * What devices are kept to is sshd's to say: a server where somebody else's settings win admits nobody.
 * @throws ExpectedError naming the settings; the change is undone then
 */
export async function requireKept({ server, output }: AtServer, state: ServerState, made: Change, accounts?: readonly string[]): Promise<void> {
  const isFault = ({ level, finding }: ServerFinding) => level === 'fault' && finding === 'setting';
  const faults = (await checkWhatHolds(server, state, accounts)).filter(isFault);
  if (faults.length === 0) return;
  if (made.changed && (await made.undo())) output.notice(AS_BEFORE);
  throw failed('settings-overridden', faults.map(({ says }) => says).join('\n'), 'Other settings of sshd win over those for devices. Move them behind, or keep them from revtun-*: Match User !revtun-*,*');
}
