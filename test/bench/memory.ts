import type { Host } from '../lab/host.ts';
import { kb, type Result } from './result.ts';
import type { Tunnels } from './tunnels.ts';

/**
 * Memory on the device. PSS shares out what several processes map, so that sums are true (proc(5), smaps_rollup); the
 * two kinds of tunnel run side by side, and share ssh's own text alike.
 */
export async function measureMemory(device: Host, tunnels: Tunnels, when: string): Promise<Result[]> {
  const { ours, plain } = await tunnels.processes();
  const names = await Promise.all(ours.map(async (pid) => (await device.readFile(`/proc/${pid}/comm`)).trim()));
  const [oursBytes, plainBytes] = [await pssOf(device, ours), await pssOf(device, plain)];
  const ratio = oursBytes / plainBytes;
  const alone = names.every((name) => name === 'ssh') && ours.length === plain.length;
  return [{
    what: `memory (PSS) ${when} : plain \`ssh -NTR\``,
    ours: `${kb(oursBytes)} (${names.join(', ')})`,
    against: kb(plainBytes),
    ratio: `${ratio.toFixed(2)}×`,
    aim: 'nothing beside ssh',
    met: alone,
  }];
}

/** Bytes. */
async function pssOf(host: Host, pids: readonly number[]): Promise<number> {
  let sum = 0;
  for (const pid of pids) {
    const kibibytes = /^Pss:\s+(\d+) kB$/m.exec(await host.readFile(`/proc/${pid}/smaps_rollup`))?.[1];
    if (kibibytes === undefined) throw new Error(`no Pss of process ${pid} on ${host.name}`);
    sum += Number(kibibytes) * 1024;
  }
  return sum;
}
