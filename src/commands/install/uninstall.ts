import { readFacts } from '../../checks/facts.ts';
import { requireMachine } from '../../checks/preflight.ts';
import { cancelled, ExpectedError, notFound, usage } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { scopeOf } from '../../input/resolve.ts';
import { planFarewell, planUninstall } from '../../plan/plan.ts';
import { readPresent, readShared } from '../../plan/present.ts';
import { runSteps } from '../../plan/run.ts';
import { type Step, titlesOf } from '../../plan/step.ts';
import { forgetting } from '../../plan/tryout.ts';
import { isOurs } from '../../template.ts';
import { deviceOf } from '../../server/device.ts';
import type { Scope } from '../../tunnel/tunnel.ts';
import { findInstalled, type Installed } from '../../unit/installed.ts';
import { placesOf } from '../../unit/places.ts';
import { systemctl } from '../../unit/systemctl.ts';
import { readTryout } from '../../unit/tryout.ts';
import type { Context } from '../context.ts';
import { withLock } from '../lock.ts';
import { tellingSteps } from '../steps.ts';
import { requireNotCarried } from './throughItself.ts';

/** What an uninstall says as JSON. */
export interface Removal {
  readonly ok: true;
  readonly changed: boolean;
  readonly tunnels: readonly object[];
  /** What was done once no tunnel was left. */
  readonly steps: readonly string[];
}

/** Removes tunnels, and says so. @throws ExpectedError */
export async function uninstall(context: Context, names: readonly string[], all: boolean, draft: Draft): Promise<void> {
  context.output.object(await removeHere(context, names, all, draft));
}

/** Stops, disables and removes tunnels of this machine, and tells what it left on purpose. @throws ExpectedError */
export async function removeHere(context: Context, names: readonly string[], all: boolean, draft: Draft): Promise<Removal> {
  const { machine, who, output } = context;
  const scope = scopeOf(draft, who);
  const facts = await readFacts(machine, who);
  requireMachine(facts, scope, context.typed);
  return withLock(context, scope, draft.dryRun !== true, async () => {
    const { installed, chosen } = await choose(context, names, all, draft);
    const done: object[] = [];
    const remaining = installed.filter((tunnel) => !chosen.includes(tunnel));
    const farewell: string[] = [];
    try {
      for (const tunnel of chosen) done.push(await removeOne(context, tunnel, draft));
      if (remaining.length === 0) farewell.push(...(await sayFarewell(context, scope, installed, draft)));
    } catch (error) {
      throw done.length > 0 && draft.dryRun !== true ? unfinished(context, chosen.slice(0, done.length), error) : error;
    }
    if (chosen.length === 0 && farewell.length === 0) output.progress('There is no tunnel to remove.');
    return { ok: true, changed: draft.dryRun !== true && done.length + farewell.length > 0, tunnels: done, steps: farewell };
  });
}

/** A tunnel that is gone does not come back because the next one stays. */
function unfinished({ signal }: Context, gone: readonly Installed[], error: unknown): unknown {
  if (!(error instanceof ExpectedError)) return error;
  const { exitCode, id, message, hint } = signal.aborted ? cancelled() : error;
  const why = signal.aborted ? 'Cancelled.' : message;
  return new ExpectedError(exitCode, id, `${why} Removed all the same: ${gone.map(({ name }) => name).join(', ')}.`, hint || 'Run it again for the rest.', true);
}

/**
 * The tunnels that are meant, among all of the scope.
 * @throws ExpectedError where that is not clear, and where one of them carries this session
 */
export async function choose(context: Context, names: readonly string[], all: boolean, draft: Draft): Promise<{ installed: readonly Installed[]; chosen: readonly Installed[] }> {
  const scope = scopeOf(draft, context.who);
  const installed = await findInstalled(context.machine, scope, context.who);
  const chosen = all ? installed : await chooseByName(context, names, installed, scope);
  await requireNotCarried(context, chosen, draft);
  return { installed, chosen };
}

async function chooseByName({ machine, who }: Context, names: readonly string[], installed: readonly Installed[], scope: Scope): Promise<Installed[]> {
  if (names.length === 0) {
    if (installed.length === 1) return [...installed];
    if (installed.length === 0) throw notFound('no-tunnel', `There is no tunnel of the ${scope} scope on this machine.`, otherScope(scope));
    throw usage(`Which one? ${installed.map(({ name }) => name).join(', ')}`, 'Name them, or say --all.');
  }
  const chosen: Installed[] = [];
  for (const name of new Set(names)) {
    const found = installed.find((tunnel) => tunnel.name === name) ?? (await halfInstalled(machine, name, scope, who));
    if (!found) throw notFound('no-tunnel', `There is no tunnel "${name}" of the ${scope} scope on this machine.`, otherScope(scope));
    chosen.push(found);
  }
  return chosen;
}

const otherScope = (scope: Scope) => `revtun-setup list shows all.${scope === 'user' ? ' Those of the system are removed with sudo.' : ' Those of a user are removed by that user.'}`;

/** What a killed install left: files of ours, but no unit yet. */
async function halfInstalled(machine: Context['machine'], name: string, scope: Scope, who: Context['who']): Promise<Installed | undefined> {
  const places = placesOf(scope, name, who.home);
  return (await machine.stat(places.directory)) ? { name, scope, places, tunnel: undefined, lingering: false } : undefined;
}

async function removeOne(context: Context, installed: Installed, draft: Draft): Promise<object> {
  const { machine, who, output } = context;
  const { name, scope, places, tunnel } = installed;
  const removal = planUninstall(installed, await readPresent(machine, scope, places, who), systemctl(machine, scope, who));
  const steps = forgetting(removal, name, places, await readTryout(machine, name, places));
  const done = await carryOut(context, steps, draft);
  const report = { name, scope, unit: places.unit, steps: done };
  if (draft.dryRun === true) return report;
  const left = [...(await leftOnPurpose(machine, installed)), ...leftOnServer(installed, draft)];
  for (const what of left) output.progress(`left on purpose: ${what}`);
  output.progress(`${name}: ${(await isGone(machine, steps)) ? 'removed' : 'no longer installed, but not all of its files could be removed'}`);
  return { ...report, left, ...(tunnel && { server: tunnel.host }) };
}

/** What goes when no tunnel of the scope remains. */
async function sayFarewell(context: Context, scope: Scope, installed: readonly Installed[], draft: Draft): Promise<string[]> {
  const { machine, who } = context;
  const steps = planFarewell(scope, await readShared(machine, who), who.userName, installed.some(({ lingering }) => lingering));
  // A run that was killed right before its last step left it, and with it no tunnel by which it would be found.
  const { ours } = placesOf(scope, 'x', who.home);
  const isLeft = draft.dryRun !== true && (await machine.stat(ours))?.kind === 'directory' && (await machine.list(ours)).length === 0;
  return carryOut(context, [...(isLeft ? [{ kind: 'remove-directory', path: ours } as const] : []), ...steps], draft);
}

/** @returns the steps that were done, or that a dry run would do */
async function carryOut({ machine, output, signal }: Context, steps: readonly Step[], draft: Draft): Promise<string[]> {
  if (draft.dryRun === true) {
    const titles = titlesOf(steps);
    for (const title of titles) output.progress(`would ${title}`);
    return titles;
  }
  const done: string[] = [];
  await runSteps(machine, steps, { signal, ...tellingSteps(output, done) });
  return done;
}

/** Looked up, not remembered: "removed" is only said of what is no longer there. */
async function isGone(machine: Context['machine'], steps: readonly Step[]): Promise<boolean> {
  const paths = steps.flatMap((step) => (step.kind === 'remove' ? [step.path] : []));
  return (await Promise.all(paths.map((path) => machine.stat(path)))).every((stat) => stat === undefined);
}

async function leftOnPurpose(machine: Context['machine'], { places, tunnel }: Installed): Promise<string[]> {
  const left: string[] = [];
  if (tunnel && tunnel.identityFile !== places.generatedKey && (await machine.stat(tunnel.identityFile))) left.push(`${tunnel.identityFile} (your key)`);
  const { script, serviceFile, pathFile } = places.notice;
  for (const path of [places.sshConfig, places.knownHosts, `${places.unitFile}.d`, script, ...[serviceFile, pathFile].flatMap((file) => [file, `${file}.d`])]) {
    const stat = await machine.stat(path);
    if (stat && (stat.kind !== 'file' || !isOurs((await machine.read(path)) ?? ''))) left.push(`${path} (not written by revtun-setup)`);
  }
  return left;
}

/** What lets the key in there; with `--server-admin` it goes as well. */
function leftOnServer({ tunnel }: Installed, { serverAdmin }: Draft): string[] {
  if (!tunnel || serverAdmin) return [];
  const device = deviceOf(tunnel.user);
  return device === undefined
    ? [`the key's line in authorized_keys of ${tunnel.user} on ${tunnel.host}`]
    : [`the account ${tunnel.user} on ${tunnel.host}; to take it away: revtun-setup server remove ${device} DEST`];
}
