import type { Draft } from '../../input/fields.ts';
import { planServerSetup } from '../../plan/serverSetup.ts';
import { SERVER } from '../../server/places.ts';
import { readServer } from '../../server/state.ts';
import { type Destination, formatDestination } from '../../tunnel/destination.ts';
import type { Context } from '../context.ts';
import { change, requireKept } from './change.ts';
import { onServer } from './login.ts';

/** Makes a server ready for devices; once for each server. */
export async function serverSetup(context: Context, destination: Destination, draft: Draft): Promise<void> {
  await onServer(context, destination, draft.dryRun !== true, async (at, state) => {
    const { output, server } = at;
    const name = formatDestination(destination);
    if (!state.includesDropIns) output.progress(`sshd of ${name} includes no drop-ins: the settings go to the end of ${SERVER.mainConfig}`);
    const made = await change(at, planServerSetup(state), draft);
    if (draft.dryRun !== true) await requireKept(at, made.changed ? await readServer(server) : state, made);
    if (made.steps.length === 0) output.progress(`${name}: unchanged`);
    else if (draft.dryRun !== true) output.progress(`${name} takes devices. Next: revtun-setup server add DEVICE --key FILE.pub ${name}`);
    output.object({ ok: true, changed: made.changed, openssh: state.openssh, steps: made.steps });
  });
}
