import { publicKeyOf } from '../checks/key.ts';
import { isFault, type Proof, proveTunnel } from '../checks/verify.ts';
import { withWorkbench } from '../checks/workbench.ts';
import { lastReason } from '../doctor/reason.ts';
import { formatDuration, readState, type ServiceState } from '../doctor/state.ts';
import { AlreadyTold, ExitCode, ExpectedError, failed } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import { commandLine } from '../shell.ts';
import { howToConnect } from '../tunnel/connect.ts';
import { describeForwards, serverOf, type Tunnel } from '../tunnel/tunnel.ts';
import { type Installed, recordDamaged } from '../unit/installed.ts';
import { hostKeyLines } from '../unit/render.ts';
import type { Context } from './context.ts';
import { findTunnel } from './find.ts';
import { type Pending, readPending } from './pending.ts';
import { tellProof, verifiedObject } from './telling.ts';

/**
 * One tunnel's truth: what systemd says, what the server confirmed, and whether a connection comes back here.
 * @throws ExpectedError exit code 3 when it is not running, 1 when it runs but is not what was asked for
 */
export async function status(context: Context, name: string | undefined, draft: Draft): Promise<void> {
  const { machine, who, output } = context;
  const installed = await findTunnel(context, name, draft);
  const { tunnel, places } = installed;
  if (!tunnel) throw recordDamaged(installed);
  const state = await readState(machine, who, installed);
  const reason = await lastReason(machine, installed.scope, who, places.unit);
  const pending = await readPending(context, installed);
  const proofs = state.state === 'up' && draft.noVerify !== true ? await tryToProve(context, installed, tunnel) : undefined;
  const how = howToConnect(tunnel, who.sudoUser ?? who.userName);

  describe(context, installed, tunnel, state, reason, pending);
  if (Array.isArray(proofs)) for (const proof of proofs) tellProof(output, proof);
  if (typeof proofs === 'string') output.mark('unknown', `not provable from here: ${proofs}`);
  if (how && state.state === 'up') output.progress(`connect      ${commandLine(how.command)}`);

  const faults = Array.isArray(proofs) ? proofs.filter(isFault) : [];
  const object = {
    changed: false, name: installed.name, scope: installed.scope, unit: places.unit, state: state.state, outdated: state.outdated, enabled: state.enabled,
    since: state.since?.toISOString() ?? null, restarts: state.restarts, lastReason: reason ?? null,
    server: serverOf(tunnel), forwards: describeForwards(tunnel), connect: how ? commandLine(how.command) : null,
    verified: verifiedObject(Array.isArray(proofs) ? proofs : undefined),
    ...(pending && { pending }),
  };
  const problem = state.state !== 'up'
    ? new ExpectedError(ExitCode.notFound, 'not-running', `${installed.name} is ${state.state}${reason === undefined ? '' : `: ${reason}`}`, `See: revtun-setup logs ${installed.name}`)
    : faults.length > 0 ? failed(faults[0]!.finding, faults.map(({ says }) => says).join('\n'), '') : undefined;
  output.object({ ok: problem === undefined, ...object, ...(problem && { error: { code: problem.id, message: problem.message, hint: problem.hint } }) });
  if (problem) throw new AlreadyTold(problem);
}

function describe({ output }: Context, { name, scope, places }: Installed, tunnel: Tunnel, state: ServiceState, reason: string | undefined, pending: Pending | undefined): void {
  const since = state.since ? ` for ${formatDuration(Date.now() - state.since.getTime())} (since ${state.since.toISOString()})` : '';
  output.mark(state.state === 'up' ? 'done' : 'fault', `${name} is ${state.state}${since}${told(state)}`);
  const rows = [
    ['unit', `${places.unit} (${scope}${state.enabled ? '' : ', NOT started at boot'})`],
    ['server', serverOf(tunnel)],
    ['forwards', describeForwards(tunnel)],
    ['restarts', `${state.restarts}${reason === undefined ? '' : `, last reason: ${reason}`}`],
    ...(pending ? [['on trial', `until ${pending.confirmBy}, then the former tunnel comes back; to keep it: ${pending.confirm}`]] : []),
  ];
  for (const [label, value] of rows) output.progress(`${label!.padEnd(12)} ${value}`);
}

const told = ({ state, outdated }: ServiceState) =>
  outdated ? ', but with its former settings, until it is restarted' : state === 'up' ? ': the server has confirmed every forward' : '';

/** @returns why it could not even be tried, as text */
async function tryToProve({ machine, who, signal }: Context, { places }: Installed, tunnel: Tunnel): Promise<Proof[] | string> {
  try {
    await publicKeyOf(machine, tunnel.identityFile);
  } catch (error) {
    if (error instanceof ExpectedError) return error.id === 'key-unreadable' ? 'the key belongs to root; try with sudo' : error.message;
    throw error;
  }
  const pinned = hostKeyLines((await machine.read(places.knownHosts))?.toString() ?? '');
  return withWorkbench(machine, tunnel, tunnel.identityFile, signal, async (bench) => {
    await bench.pin(pinned);
    return proveTunnel(machine, who, tunnel, bench, pinned);
  });
}
