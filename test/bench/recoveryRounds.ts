import { sleep } from '../lab/waitFor.ts';
import { type Calendar, until } from './recoveryCalendar.ts';
import type { Contestant } from './recoveryContestants.ts';
import { type Fault, type FaultName, FAULTS } from './recoveryFaults.ts';
import { type BenchTunnel, connectionOf, endSessions, type Pair, TARGET, type Traffic, uidOf, untilUp } from './recoveryPair.ts';

/** Seconds from the end of the fault, a round each; null for one in which it did not recover in time. */
export type Recoveries = Readonly<Record<Traffic, readonly (number | null)[]>>;

export interface Limits {
  /** Seconds after which a tunnel is given up. */
  readonly givenUpAfter: number;
  /** The most rounds of a fault. */
  readonly rounds: number;
}

/** Lets a fault happen to both tunnels of a pair, some times over. */
export async function measureFault(
  pair: Pair, contestant: Contestant, tunnels: readonly BenchTunnel[], name: FaultName, calendar: Calendar, limits: Limits,
): Promise<Recoveries> {
  const found: Record<Traffic, (number | null)[]> = { busy: [], idle: [] };
  const fault: Fault = FAULTS[name];
  for (let round = 0; round < Math.min(fault.rounds, limits.rounds); round += 1) {
    for (const tunnel of tunnels) await untilUp(pair, tunnel, 60_000);
    // At any moment between two keepalives: an idle tunnel notices nothing before the next one.
    await sleep(contestant.restMs + Math.random() * 10_000);
    const seconds = await once(pair, fault, tunnels, calendar, limits);
    for (const { traffic } of tunnels) found[traffic].push(seconds[traffic]);
    for (const tunnel of tunnels) await mend(pair, tunnel);
    if (tunnels.some(({ traffic }) => seconds[traffic] === null)) break;
  }
  return found;
}

async function once(pair: Pair, fault: Fault, tunnels: readonly BenchTunnel[], calendar: Calendar, { givenUpAfter }: Limits): Promise<Record<Traffic, number | null>> {
  const before = new Map<BenchTunnel, { listener: string | null; connection: string | undefined }>();
  const slot = await calendar.reserve(fault.lastsMs, fault.endsWithinMs);
  for (const tunnel of tunnels) {
    before.set(tunnel, { listener: await pair.agent.call('listenerOf', tunnel.port), connection: connectionOf(pair, tunnel) });
  }
  const watch = (tunnel: BenchTunnel) => {
    const { listener, connection } = before.get(tunnel)!;
    // An idle session is dialled only if both its ends are there: a dial on a dead one would make the server notice.
    const survives = connection !== undefined && connectionOf(pair, tunnel) === connection;
    const dialOld = !fault.survivable ? 'never' : tunnel.traffic === 'busy' ? 'often' : survives ? 'once' : 'never';
    return pair.agent.call('untilRecovered', { port: tunnel.port, banner: TARGET.banner, before: listener ?? undefined, dialOld, timeoutMs: (givenUpAfter + 5) * 1000 });
  };
  await fault.begin(pair);
  await until(slot.starts);
  const early = fault.survivable ? undefined : tunnels.map(watch);
  // Should the fault fail, that is what there is to tell.
  for (const watching of early ?? []) watching.catch(() => undefined);
  const zero = await fault.end(pair, tunnels);
  const recovering = early ?? tunnels.map(watch);
  const moments = await Promise.all(recovering).finally(() => slot.release());
  const seconds = moments.map((moment) => (moment === null || moment - zero > givenUpAfter * 1000 ? null : Math.max(0, (moment - zero) / 1000)));
  return Object.fromEntries(tunnels.map(({ traffic }, index) => [traffic, seconds[index]!])) as Record<Traffic, number | null>;
}

/** Helps up what did not recover, as an administrator would: frees the port, then starts the unit anew. */
async function mend(pair: Pair, tunnel: BenchTunnel): Promise<void> {
  const isUp = (timeoutMs: number) => untilUp(pair, tunnel, timeoutMs).then(() => true, () => false);
  if (await isUp(1000)) return;
  endSessions(pair, await uidOf(pair.server, tunnel.account));
  if (await isUp(20_000)) return;
  await pair.device.succeed(['systemctl', 'reset-failed', tunnel.unit]);
  await pair.device.succeed(['systemctl', 'restart', tunnel.unit]);
  await untilUp(pair, tunnel, 30_000);
}
