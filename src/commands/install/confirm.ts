import { carries, sessionWay, type SessionWay } from '../../checks/carried.ts';
import { cancelled, failed, notFound, personNeeded, usage } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import type { Machine } from '../../machine/machine.ts';
import { runSteps } from '../../plan/run.ts';
import { keepStep } from '../../plan/tryout.ts';
import { commandLine } from '../../shell.ts';
import type { Forward } from '../../tunnel/forward.ts';
import type { Installed } from '../../unit/installed.ts';
import { systemctl } from '../../unit/systemctl.ts';
import { forwardsOnTrial, readTryout, type Tryout } from '../../unit/tryout.ts';
import type { Context } from '../context.ts';
import { findAll } from '../find.ts';
import { withLock } from '../lock.ts';

interface Waiting {
  readonly tunnel: Installed;
  readonly tryout: Tryout;
}

/**
 * Keeps a change of a tunnel that was made through the tunnel itself.
 * @throws ExpectedError exit code 3 where nothing is to be confirmed, 4 where the session that asks may be an old one
 */
export async function confirm(context: Context, name: string | undefined, draft: Draft): Promise<void> {
  const { machine, who, output, signal } = context;
  const { tunnel: { scope, places, ...tunnel } } = await choose(context, name, draft);
  if (scope === 'system' && who.uid !== 0) throw failed('not-root', 'A service of the system needs root.', `Type:\n  ${commandLine(['sudo', ...context.typed])}`);
  const forwards = tunnel.tunnel?.forwards;
  // What came through the former tunnel by way of another machine may still be there.
  const all = await forwardsOnTrial(machine, { ...tunnel, scope, places });
  // Of a session that ends while this waits for the change to be complete, nothing would be left to see.
  const before = await sessionWay(machine, who, all);
  await withLock(context, scope, true, async () => {
    const tryout = await readTryout(machine, tunnel.name, places);
    if (tryout === undefined || tryout === 'left-over') throw nothingThere(tunnel.name);
    if (!tryout.complete) {
      throw failed('cut-off', `The change of ${tunnel.name} was cut off before its end.`, `The former tunnel comes back by itself${tryout.until ? ` at ${tryout.until.toISOString()}` : ''}.`);
    }
    const { ControlGroup } = await systemctl(machine, scope, who).show(places.unit, ['ControlGroup']);
    if (!(await isNew(machine, before, await sessionWay(machine, who, all), ControlGroup, forwards))) {
      throw personNeeded('old-session', `Whether the changed tunnel lets anybody in cannot be seen from this session.`, 'Log in anew, and confirm it there.');
    }
    if (signal.aborted) throw cancelled();
    // Without the signal: what has been decided is no longer to be cancelled.
    await runSteps(machine, [keepStep(tunnel.name, places)], { onDone: () => undefined, onNotice: output.notice }).catch((error: unknown) => {
      throw failed('too-late', `${tunnel.name} is not confirmed: ${(error as Error).message}`, `See: revtun-setup status ${tunnel.name}`);
    });
    output.mark('done', `confirmed: ${tunnel.name} stays as it is`);
    output.object({ ok: true, changed: true, name: tunnel.name, scope, unit: places.unit });
  });
}

/**
 * A session that came through the tunnel came through the new one: its restart has ended all others. One that came
 * another way shows that there is another. Of all else somebody has to be connected through the new one.
 */
async function isNew(machine: Machine, before: SessionWay, now: SessionWay, controlGroup: string, forwards: readonly Forward[] | undefined): Promise<boolean> {
  if (now.known !== before.known || now.through.join() !== before.through.join()) return false;
  return now.known || (await carries(machine, now, controlGroup, forwards)) !== 'no';
}

async function choose(context: Context, name: string | undefined, { scope }: Draft): Promise<Waiting> {
  const installed = (await findAll(context, scope)).filter((tunnel) => name === undefined || tunnel.name === name);
  const found = await Promise.all(installed.map(async (tunnel) => ({ tunnel, tryout: await readTryout(context.machine, tunnel.name, tunnel.places) })));
  const waiting = found.filter((one): one is Waiting => one.tryout !== undefined && one.tryout !== 'left-over');
  if (waiting.length === 1) return waiting[0]!;
  if (waiting.length === 0) throw nothingThere(name);
  throw usage(`Which one? ${waiting.map(({ tunnel }) => `${tunnel.name} (${tunnel.scope})`).join(', ')}`, 'Name it, or say --scope.');
}

const nothingThere = (name: string | undefined) =>
  notFound('nothing-on-trial', `No change ${name === undefined ? 'is waiting' : `of ${name} is waiting`} to be confirmed: it was confirmed already, or the former tunnel is back.`,
    name === undefined ? 'See: revtun-setup list' : `See: revtun-setup status ${name}`);
