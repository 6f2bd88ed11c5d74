import { failed } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { planServerRemove, planServerRemoveAll } from '../../plan/serverDevices.ts';
import { hasTraces } from '../../plan/serverSetup.ts';
import { accountOf } from '../../server/device.ts';
import { SERVER } from '../../server/places.ts';
import { DEVICE_COMMENT, readServer, type ServerState } from '../../server/state.ts';
import { type Destination, formatDestination } from '../../tunnel/destination.ts';
import type { Context } from '../context.ts';
import { type Change, change } from './change.ts';
import { type AtServer, onServer } from './login.ts';

/** Revokes a device: its key goes, and with it the session that stands. */
export async function serverRemove(context: Context, destination: Destination, name: string, draft: Draft): Promise<void> {
  await onServer(context, destination, draft.dryRun !== true, async (at, state) => {
    const made = await change(at, planServerRemove(state, name), draft);
    await tellRemoved(at, state, [name], made);
    at.output.object({ ok: true, changed: made.changed, devices: [name], steps: made.steps });
  });
}

/** Revokes every device, and takes away all that setup made. */
export async function serverRemoveAll(context: Context, destination: Destination, draft: Draft): Promise<void> {
  await onServer(context, destination, draft.dryRun !== true, async (at, state) => {
    const devices = state.devices.map(({ name }) => name);
    const made = await change(at, planServerRemoveAll(state), draft);
    if (made.steps.length === 0) at.output.progress('There is nothing of revtun-setup on that server.');
    await tellAllRemoved(at, state, made);
    at.output.object({ ok: true, changed: made.changed, devices, steps: made.steps });
  });
}

/** Looks whether devices are gone, and says so. @throws ExpectedError where something is left */
export async function tellRemoved({ server, output }: AtServer, before: ServerState, names: readonly string[], { changed }: Change): Promise<void> {
  if (!changed) return;
  const uids = names.flatMap((name) => before.accounts.get(accountOf(name))?.uid ?? []);
  requireGone(await readServer(server), uids);
  for (const name of names) output.progress(`${name}: removed, and no session of it is left`);
}

/** Looks whether all of it is gone, and says so. @throws ExpectedError where something of a device is left */
export async function tellAllRemoved({ server, output, destination }: AtServer, before: ServerState, { changed }: Change): Promise<void> {
  if (!changed) return;
  const after = await readServer(server);
  requireGone(after, [...before.accounts.values()].filter(({ comment }) => comment === DEVICE_COMMENT).map(({ uid }) => uid));
  for (const left of leftOnPurpose(after)) output.progress(`left on purpose: ${left}`);
  output.progress(`${formatDestination(destination)}: ${hasTraces(after) ? 'devices are removed, but not all files could be' : 'nothing of revtun-setup is left'}`);
}

/** Looked up, not remembered: "removed" is only said of what is no longer there. */
function requireGone({ processes, listeners, takenUids, keyFiles }: ServerState, uids: readonly number[]): void {
  const left = uids.filter((uid) => processes.has(uid) || takenUids.has(uid) || keyFiles.has(String(uid)) || listeners.some((listener) => listener.uid === uid));
  if (left.length > 0) throw failed('not-removed', `Something is left of the accounts with these user ids: ${left.join(', ')}`, 'See: ps -fu UID; then run this again.');
}

/** What somebody else put into our places. */
function leftOnPurpose({ files, keyFiles }: ServerState): string[] {
  return [
    ...[...keyFiles.keys()].map((name) => `${SERVER.keys}/${name} (not written by revtun-setup)`),
    ...[SERVER.script, SERVER.dropIn, SERVER.session].filter((path) => files.has(path)).map((path) => `${path} (not written by revtun-setup)`),
  ];
}
