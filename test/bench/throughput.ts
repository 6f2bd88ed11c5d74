import type { World } from '../e2e/world.ts';
import type { Host } from '../lab/host.ts';
import type { Measurer } from './measurer.ts';
import { compare, mbPerSecond, ms, type Result } from './result.ts';
import { interleave } from './series.ts';
import type { Tunnels } from './tunnels.ts';

const ROUNDS = 7;
/** Bytes of one sample: long enough for ssh's channel windows to be open wide. */
const BYTES = 256 * 1024 * 1024;

/** Bytes through the tunnel, to and from the device, beside plain ssh; and the same without a tunnel, to see who is the bottleneck. */
export async function measureThroughput(world: World<never>, device: Measurer, server: Measurer, tunnels: Tunnels, aes: boolean): Promise<Result[]> {
  const { ours, plain, target } = tunnels;
  const results: Result[] = [];
  // Behind its NAT the device can only be the one that calls.
  for (const [task, opposite, direction] of [['receive', 'send', 'from the device'], ['send', 'receive', 'to the device']] as const) {
    const speed = async (took: Promise<number>) => BYTES / 1000 / (await took);
    const before = await processorTimes(world.device, tunnels);
    const found = await interleave(ROUNDS, {
      ours: () => speed(server.call(task, '127.0.0.1', ours, BYTES)),
      plain: () => speed(server.call(task, '127.0.0.1', plain, BYTES)),
      raw: () => speed(device.call(opposite, world.server.v4, target, BYTES)),
    });
    const after = await processorTimes(world.device, tunnels);
    const perGb = (kind: 'ours' | 'plain') => [(after[kind] - before[kind]) / (ROUNDS * BYTES / 1e9)];
    const beside = { show: mbPerSecond, best: 'most' } as const;
    results.push(
      compare({ what: `throughput ${direction} : plain \`ssh -NTR\``, ours: found.ours, against: found.plain, ...beside, aim: { bound: 'at least', ratio: aes ? 1.8 : 1 } }),
      compare({ what: `TCP without a tunnel, ${direction} : plain \`ssh -NTR\``, ours: found.raw, against: found.plain, ...beside }),
      compare({ what: `processor time of the device's ssh a GB ${direction} : plain \`ssh -NTR\``, ours: perGb('ours'), against: perGb('plain'), show: ms, best: 'least' }),
    );
  }
  return results;
}

/** Milliseconds that each tunnel's processes on the device have run so far, the kernel's work for them included. */
async function processorTimes(device: Host, tunnels: Tunnels): Promise<Record<'ours' | 'plain', number>> {
  const { ours, plain } = await tunnels.processes();
  const ticks = Number(await device.succeed(['getconf', 'CLK_TCK']));
  const sum = async (pids: readonly number[]) => {
    let total = 0;
    for (const pid of pids) {
      const stat = await device.readFile(`/proc/${pid}/stat`);
      // utime and stime, the 14th and 15th field (proc(5)); the second, a name in parentheses, may hold blanks
      const [user, system] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13).map(Number);
      total += ((user! + system!) * 1000) / ticks;
    }
    return total;
  };
  return { ours: await sum(ours), plain: await sum(plain) };
}
