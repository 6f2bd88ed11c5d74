import { checkServer, type ServerFinding } from '../checks/serverCheck.ts';
import { cancelled, failed } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import { type Carried, runSteps } from '../plan/run.ts';
import { type Step, titleOf } from '../plan/step.ts';
import type { ServerState } from '../server/state.ts';
import type { AtServer } from './serverLogin.ts';

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
  const titles = steps.map(titleOf).filter((title) => title !== undefined);
  const nothing = { changed: false, undo: () => Promise.resolve(true) };
  const { signal, interactive, server, output } = at;
  if (titles.length === 0) return { ...nothing, steps: [] };
  if (dryRun === true) {
    output.progress(`Would do:\n${titles.map((title) => `  ${title}`).join('\n')}`);
    return { ...nothing, steps: titles };
  }
  if (interactive && yes !== true && !output.json) {
    output.notice(`The plan:\n${titles.map((title) => `  ${title}`).join('\n')}\n`);
    const { openAsk } = await import('../input/ask.ts');
    if (!(await openAsk(signal).yes('Do it?', true))) throw cancelled();
  }
  const done: string[] = [];
  const onDone = (title: string) => {
    done.push(title);
    output.mark('done', title);
  };
  let whole = true;
  try {
    const carried: Carried = await runSteps(server, steps, { signal, onDone, onNotice: output.notice, onHalfUndone: () => (whole = false) });
    return { steps: done, changed: done.length > 0, undo: () => carried.undo() };
  } catch (error) {
    output.notice(whole ? 'Undone: the server is as it was before.' : "Not all of it could be undone from here. sshd's own configuration puts itself back within a minute.");
    throw error;
  }
}

/**
 * What devices are kept to is sshd's to say: a server where somebody else's settings win admits nobody.
 * @throws ExpectedError naming the settings; the change is undone then
 */
export async function requireKept({ server, output }: AtServer, state: ServerState, made: Change, accounts?: readonly string[]): Promise<void> {
  const isFault = ({ level, finding }: ServerFinding) => level === 'fault' && finding === 'setting';
  const faults = (await checkServer(server, state, accounts)).filter(isFault);
  if (faults.length === 0) return;
  if (made.changed && (await made.undo())) output.notice('Undone: the server is as it was before.');
  throw failed('settings-overridden', faults.map(({ says }) => says).join('\n'), 'Other settings of sshd win over those for devices. Move them behind, or keep them from revtun-*: Match User !revtun-*,*');
}
