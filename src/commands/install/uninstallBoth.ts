import { publicKeyOf } from '../../checks/key.ts';
import { cancelled, ExpectedError, refused } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { planServerRemove, planServerRemoveAll } from '../../plan/serverDevices.ts';
import { type Step, titlesOf } from '../../plan/step.ts';
import { accountOf, deviceOf, isSameKey } from '../../server/device.ts';
import { DEVICE_COMMENT, type ServerState } from '../../server/state.ts';
import { formatDestination } from '../../tunnel/destination.ts';
import { serverOf } from '../../tunnel/tunnel.ts';
import type { Installed } from '../../unit/installed.ts';
import type { Context } from '../context.ts';
import { tellingWhere } from './both.ts';
import { type Change, change } from '../server/change.ts';
import { type AtServer, onServer } from '../server/login.ts';
import { tellAllRemoved, tellRemoved } from '../server/remove.ts';
import { choose, removeHere } from './uninstall.ts';

/** A device of the server's that a tunnel of this machine logs in as. */
interface Login {
  readonly device: string;
  readonly tunnel: string;
  /** Undefined where the key is gone already. */
  readonly publicKey: string | undefined;
}

/**
 * Removes tunnels together with their server's end; with the last device, what setup made there goes as well. All that
 * could be refused is refused before anything is touched.
 */
export async function uninstallBoth(context: Context, names: readonly string[], all: boolean, draft: Draft): Promise<void> {
  const { output } = context;
  const { chosen } = await choose(context, names, all, draft);
  const logins = (await Promise.all(chosen.map((one) => loginOf(context, one)))).flat();
  if (logins.length === 0) {
    throw refused('no-account', 'None of these tunnels logs in to an account that revtun-setup made on a server.', 'Leave --server-admin out.');
  }
  const destination = draft.serverAdmin!;
  await onServer(context, destination, draft.dryRun !== true, async (at, state) => {
    const server = formatDestination(destination);
    const there = loginsAt(state, logins, server);
    const devices = there.map(({ device }) => device);
    const isAll = devices.length > 0 && accountsOf(state).every((name) => devices.includes(name));
    const steps = isAll ? planServerRemoveAll(state) : devices.flatMap((device) => planServerRemove(state, device));
    const here = await removeHere(context, chosen.map(({ name }) => name), false, draft);
    for (const { name, tunnel } of chosen) {
      if (tunnel && !there.some((login) => login.tunnel === name)) output.progress(`left on purpose: what lets the key of ${name} in as ${serverOf(tunnel)}`);
    }
    const made = draft.dryRun === true ? wouldDo(at, steps) : await change(tellingWhere(at), steps, { ...draft, yes: true }).catch((error: unknown) => {
      throw removedHereOnly(at, devices, error);
    });
    await (isAll ? tellAllRemoved(at, state, made) : tellRemoved(at, state, devices, made));
    output.object({ ...here, changed: draft.dryRun !== true, server: { devices, steps: made.steps } });
  });
}

async function loginOf({ machine }: Context, { name, tunnel }: Installed): Promise<Login[]> {
  const device = tunnel && deviceOf(tunnel.user);
  if (!tunnel || device === undefined) return [];
  return [{ device, tunnel: name, publicKey: await publicKeyOf(machine, tunnel.identityFile).catch(() => undefined) }];
}

/** Every device, one whose key file cannot be read back included: it may be let in all the same. */
const accountsOf = ({ accounts }: ServerState) => [...accounts.values()].filter(({ comment }) => comment === DEVICE_COMMENT).flatMap(({ name }) => deviceOf(name) ?? []);

/**
 * Those of the logins whose account is on this server.
 * @throws ExpectedError where there is none, or where a device of the same name is, or may be, another machine's
 */
function loginsAt(state: ServerState, logins: readonly Login[], server: string): readonly Login[] {
  const there = logins.filter(({ device }) => state.accounts.has(accountOf(device)));
  if (there.length === 0) {
    const accounts = logins.map(({ device }) => accountOf(device)).join(', ');
    throw refused('no-account', `There is no account ${accounts} on ${server}.`, 'Is that the server that the tunnel leads to? To remove the tunnel alone, leave --server-admin out.');
  }
  for (const { device, tunnel, publicKey } of there) {
    const known = state.devices.find(({ name }) => name === device);
    if (publicKey === undefined) {
      throw refused('not-this-device', `The key of the tunnel "${tunnel}" cannot be read: whether the device "${device}" of ${server} is this machine cannot be told.`,
        `If it is: revtun-setup uninstall ${tunnel}, then revtun-setup server remove ${device} ${server}`);
    }
    if (known && !isSameKey(known.publicKey, publicKey)) {
      throw refused('not-this-device', `The device "${device}" of ${server} has another key than the tunnel "${tunnel}" of this machine: it is another machine's.`,
        'Name the server that this tunnel leads to, or only those tunnels that lead to this one.');
    }
  }
  return there;
}

/** In the words that uninstall has for its own part. */
function wouldDo({ output }: AtServer, steps: readonly Step[]): Change {
  const titles = titlesOf(steps);
  for (const title of titles) output.progress(`would, on the server, ${title}`);
  return { steps: titles, changed: false, undo: () => Promise.resolve(true) };
}

function removedHereOnly({ destination, signal }: AtServer, devices: readonly string[], error: unknown): unknown {
  if (!(error instanceof ExpectedError) && !signal.aborted) return error;
  const { exitCode, id, message } = signal.aborted ? cancelled() : (error as ExpectedError);
  const rest = devices.map((device) => `revtun-setup server remove ${device} ${formatDestination(destination)}`).join('\n');
  return new ExpectedError(exitCode, id, `Removed here, but not on the server: ${signal.aborted ? 'cancelled.' : message}`, `For the rest:\n${rest}`, true);
}
