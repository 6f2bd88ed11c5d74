import { hostname } from 'node:os';
import { cancelled, ExpectedError } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import { planServerAdd } from '../../plan/serverDevices.ts';
import { planServerSetup } from '../../plan/serverSetup.ts';
import { titlesOf } from '../../plan/step.ts';
import { accountOf, defaultDeviceName, type Device } from '../../server/device.ts';
import { readServer, type ServerState } from '../../server/state.ts';
import { formatDestination } from '../../tunnel/destination.ts';
import { defaultName } from '../../tunnel/tunnel.ts';
import type { Context } from '../context.ts';
import { type DeviceKey, targetHere, withDeviceKey } from './deviceHere.ts';
import { install } from './install.ts';
import type { Prepared } from './job.ts';
import { AS_BEFORE, type Change, change, requireKept } from '../server/change.ts';
import { type AtServer, onServer } from '../server/login.ts';
import { hostKeyOf, type Way, wayOf } from '../server/way.ts';

/** Sets up the server's end of a tunnel and the tunnel itself: both are there afterwards, or neither is. */
export async function installBoth(context: Context, draft: Draft): Promise<void> {
  const destination = draft.serverAdmin!;
  const named = { ...draft, name: draft.name ?? defaultName(destination.host) };
  const way = await wayOf(context, destination);
  await withDeviceKey(context, named, (key) =>
    onServer(context, destination, draft.dryRun !== true, (at, state) => installAt(at, state, way, named, key)));
}

/** The same on a server that is logged in to already. */
export async function installAt(at: AtServer, state: ServerState, way: Way, draft: Draft, key: DeviceKey, more: Prepared = {}): Promise<void> {
  const { output } = at;
  const { device, steps: adding } = planServerAdd(state, wishOf(draft, key));
  const steps = [...planServerSetup(state), ...adding];
  const there = tellingWhere(at);
  let made: Change = { steps: [], changed: false, undo: () => Promise.resolve(true) };
  const apply = async () => {
    made = await change(there, steps, { ...draft, yes: true });
    await requireKept(at, made.changed ? await readServer(at.server) : state, withoutUndo(made), [accountOf(device.name)]);
  };
  const titles = titlesOf(steps);
  const tellBoth = (value: object) => output.object({
    ...value, changed: made.changed || ('changed' in value && value.changed === true),
    server: { device: device.name, host: way.host, user: accountOf(device.name), port: way.port, remotePort: device.port, hostKey: hostKeyOf(state), steps: made.changed ? made.steps : titles },
  });
  const prepared: Prepared = { ...more, ...(key.newKey && { newKey: key.newKey }), ...(titles.length > 0 && { serverEnd: { titles, apply } }) };
  try {
    const wanted = { ...tunnelDraft(draft, device, way, state, key), ...(await targetHere(at, draft, device)) };
    await install({ ...at, output: { ...output, object: tellBoth } }, wanted, prepared);
  } catch (error) {
    if (!made.changed) throw explained(error, way);
    if (!(await made.undo())) throw halfUndone(at, device, error);
    output.notice(AS_BEFORE);
    throw explained(error, way);
  }
}

/** Steps of both machines come in one list: each says where it is taken. */
export function tellingWhere(at: AtServer): AtServer {
  const { output, server, interactive } = at;
  const reconnect = async () => {
    if (interactive) output.progress('A second login there shows that the changed sshd still lets you in; if the first one took a password, so does this one.');
    await server.reconnect();
  };
  return { ...at, server: { ...server, reconnect }, output: { ...output, mark: (mark, text) => output.mark(mark, `on the server: ${text}`) } };
}

/** It is for the end of all the work to undo, and to say so once. */
const withoutUndo = (made: Change): Change => ({ ...made, undo: () => Promise.resolve(false) });

/** A host on the way has to let the device's key in, too, which nothing here sees to. */
function explained(error: unknown, { jump }: Way): unknown {
  if (jump.length === 0 || !(error instanceof ExpectedError) || error.id !== 'key-refused') return error;
  const hops = jump.map((hop) => formatDestination(hop)).join(', ');
  return new ExpectedError(error.exitCode, error.id, error.message, `The tunnel goes through ${hops}, where its key has to be accepted as well: name one that is, with --key.`, error.changed);
}

/** @returns the error of the work itself, which says what else there is to do */
function halfUndone({ destination, signal }: AtServer, { name }: Device, error: unknown): unknown {
  const { exitCode, id, message } = signal.aborted ? cancelled() : (error as ExpectedError);
  if (!signal.aborted && !(error instanceof ExpectedError)) return error;
  const why = signal.aborted ? 'Cancelled.' : message;
  return new ExpectedError(exitCode, id, `${why} Not all of it could be undone on the server.`, `For the rest: revtun-setup server remove ${name} ${formatDestination(destination)}`, true);
}

function wishOf({ device, remotePort, bind, acceptRisk }: Draft, { publicKey }: DeviceKey) {
  return {
    name: device ?? defaultDeviceName(hostname()), publicKey,
    ...(remotePort !== undefined && { port: remotePort }), ...(bind !== undefined && { bind }), ...(acceptRisk && { acceptRisk }),
  };
}

/** The tunnel to a server's end that is ready for it. */
function tunnelDraft(draft: Draft, device: Device, { host, port, jump }: Way, state: ServerState, { path }: DeviceKey): Draft {
  const { serverAdmin: _admin, device: _name, key: _key, generateKey: _made, ...rest } = draft;
  return {
    ...rest,
    host: { host, user: accountOf(device.name), port },
    jump,
    remotePort: device.port,
    bind: device.bind,
    ...(path === undefined ? { generateKey: true } : { key: path }),
    // Read by the administrator's own session. A host on the way there is known to the person who logged in through it.
    ...(jump.length === 0 && { hostKey: [hostKeyOf(state)] }),
  };
}
