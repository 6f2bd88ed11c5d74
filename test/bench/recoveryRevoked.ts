import { sleep } from '../lab/waitFor.ts';
import type { Contestant } from './recoveryContestants.ts';
import { type BenchTunnel, endSessions, type Pair, SERVER_ADDRESS, uidOf, untilUp } from './recoveryPair.ts';

/** What came of a key that the server does not accept any more. */
export interface Revoked {
  readonly seconds: number;
  /** How often the key was offered in that time. */
  readonly attempts: number;
  /** Whether another key still got in from the same address, in the end. */
  readonly otherGotIn: boolean;
}

/** Takes the key away from the busy tunnel and ends its session; the idle one, from the same address, stays. */
export async function measureRevoked(pair: Pair, contestant: Contestant, tunnels: readonly BenchTunnel[], seconds: number): Promise<Revoked> {
  const { device, server } = pair;
  const tunnel = tunnels.find(({ traffic }) => traffic === 'busy')!;
  for (const each of tunnels) await untilUp(pair, each, 60_000);
  await contestant.revoke(pair, tunnel);
  const before = await refusals(pair, tunnel);
  endSessions(pair, await uidOf(server, tunnel.account));
  await sleep(seconds * 1000);
  const attempts = (await refusals(pair, tunnel)) - before;
  const { code } = await device.run(['ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=5', `pi@${SERVER_ADDRESS}`, 'true']);
  return { seconds, attempts, otherGotIn: code === 0 };
}

/** How often the device's journal tells that the unit's key was refused. */
async function refusals({ device }: Pair, { unit }: BenchTunnel): Promise<number> {
  const journal = await device.succeed(['journalctl', '-u', unit, '-o', 'cat']);
  return journal.split('\n').filter((line) => line.includes('Permission denied (')).length;
}

/** How often the server has turned an address away unheard since its boot (PerSourcePenalties, OpenSSH 9.8 or newer). */
export async function dropsOf({ server }: Pair): Promise<number> {
  const journal = await server.succeed(['journalctl', '-o', 'cat', '_COMM=sshd']);
  return journal.split('\n').filter((line) => /^drop connection .* penalty/.test(line)).length;
}
