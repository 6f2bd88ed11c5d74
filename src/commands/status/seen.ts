import { publicKeyOf } from '../../checks/key.ts';
import { isFault, type Proof, proveTunnel } from '../../checks/verify.ts';
import { withWorkbench } from '../../checks/workbench.ts';
import { lastReason } from '../../doctor/reason.ts';
import { formatDuration, readState, type ServiceState } from '../../doctor/state.ts';
import { AlreadyTold, ExitCode, ExpectedError, failed } from '../../errors.ts';
import type { Output } from '../../output.ts';
import type { Row } from '../../screen.ts';
import { commandLine } from '../../shell.ts';
import { howToConnect } from '../../tunnel/connect.ts';
import { describeForwards, serverOf, type Tunnel } from '../../tunnel/tunnel.ts';
import { type Installed, readPinned, recordDamaged } from '../../unit/installed.ts';
import type { Context } from '../context.ts';
import { type Pending, readPending } from '../pending.ts';
import { markOf, verifiedObject } from '../telling.ts';

/** What is seen of a tunnel from this machine alone. */
export interface Seen {
  readonly installed: Installed;
  readonly tunnel: Tunnel;
  readonly state: ServiceState;
  /** Why it last went down, or failed to come up. */
  readonly reason: string | undefined;
  /** A change of it that goes back by itself unless it is confirmed. */
  readonly pending: Pending | undefined;
}

/** What connections through a tunnel showed; as text, why none could be tried; undefined where none was. */
export type Proven = readonly Proof[] | string | undefined;

/** @throws ExpectedError when the record is damaged, or systemd does not answer */
export async function look({ machine, who }: Context, installed: Installed): Promise<Seen> {
  if (!installed.tunnel) throw recordDamaged(installed);
  const state = await readState(machine, who, installed);
  const [reason, pending] = await Promise.all([lastReason(machine, installed.scope, who, installed.places.unit), readPending({ machine, who }, installed)]);
  return { installed, tunnel: installed.tunnel, state, reason, pending };
}

/** Tries every remote forward, by logins with the tunnel's own key. */
export async function tryToProve({ machine, who, signal }: Context, { installed, tunnel }: Seen): Promise<Proof[] | string> {
  try {
    await publicKeyOf(machine, tunnel.identityFile);
  } catch (error) {
    if (error instanceof ExpectedError) return error.id === 'key-unreadable' ? 'the key belongs to root; try with sudo' : error.message;
    throw error;
  }
  const pinned = await readPinned(machine, installed.places);
  return withWorkbench(machine, tunnel, tunnel.identityFile, signal, async (bench) => {
    await bench.pin(pinned);
    return proveTunnel(machine, who, tunnel, bench, pinned);
  });
}

/** The answer for a person, line by line. */
export function rowsOf({ who }: Context, seen: Seen, ofProof: readonly Row[]): Row[] {
  const { installed: { name, scope, places }, tunnel, state, reason, pending } = seen;
  const since = state.since ? ` for ${formatDuration(Date.now() - state.since.getTime())} (since ${state.since.toISOString()})` : '';
  const how = state.state === 'up' ? howToConnect(tunnel, who.sudoUser ?? who.userName) : undefined;
  return [
    { mark: state.state === 'up' ? 'done' : 'fault', text: `${name} is ${state.state}${since}${toldOf(state)}` },
    row('unit', `${places.unit} (${scope}${state.enabled ? '' : ', NOT started at boot'})`),
    row('server', serverOf(tunnel)),
    row('forwards', describeForwards(tunnel)),
    row('restarts', `${state.restarts}${reason === undefined ? '' : `, last reason: ${reason}`}`),
    ...(pending ? [row('on trial', `until ${pending.confirmBy}, then the former tunnel comes back; to keep it: ${pending.confirm}`)] : []),
    ...ofProof,
    ...(how ? [row('connect', commandLine(how.command))] : []),
  ];
}

export const row = (label: string, value: string): Row => ({ text: `${label.padEnd(12)} ${value}` });

export function rowsOfProof(proven: Proven): Row[] {
  if (proven === undefined) return [];
  if (typeof proven === 'string') return [{ mark: 'unknown', text: `not provable from here: ${proven}` }];
  return proven.map((proof) => ({ mark: markOf(proof), text: `${proof.finding}: ${proof.says}` }));
}

export const toldOf = ({ state, outdated }: ServiceState) =>
  outdated ? ', but with its former settings, until it is restarted' : state === 'up' ? ': the server has confirmed every forward' : '';

export function print({ mark, progress }: Output, rows: readonly Row[]): void {
  for (const { mark: sign, text } of rows) {
    if (sign === undefined) progress(text);
    else mark(sign, text);
  }
}

/** What is not as it should be; undefined where nothing is known against it. */
export function problemOf({ installed: { name }, state: { state }, reason }: Seen, proven: Proven): ExpectedError | undefined {
  if (state !== 'up') {
    return new ExpectedError(ExitCode.notFound, 'not-running', `${name} is ${state}${reason === undefined ? '' : `: ${reason}`}`, `See: revtun-setup logs ${name}`);
  }
  const faults = Array.isArray(proven) ? (proven as readonly Proof[]).filter(isFault) : [];
  return faults.length > 0 ? failed(faults[0]!.finding, faults.map(({ says }) => says).join('\n'), '') : undefined;
}

/**
 * The one object of --json, and the exit code.
 * @throws AlreadyTold when there is a problem
 */
export function conclude({ output, who }: Context, { installed, tunnel, state, reason, pending }: Seen, proven: Proven, problem: ExpectedError | undefined): void {
  const how = howToConnect(tunnel, who.sudoUser ?? who.userName);
  output.object({
    ok: problem === undefined, changed: false, name: installed.name, scope: installed.scope, unit: installed.places.unit,
    state: state.state, outdated: state.outdated, enabled: state.enabled, since: state.since?.toISOString() ?? null,
    restarts: state.restarts, lastReason: reason ?? null, server: serverOf(tunnel), forwards: describeForwards(tunnel),
    connect: how ? commandLine(how.command) : null, verified: verifiedObject(typeof proven === 'string' ? undefined : proven),
    ...(pending && { pending }),
    ...(problem && { error: { code: problem.id, message: problem.message, hint: problem.hint } }),
  });
  if (problem) throw new AlreadyTold(problem);
}
