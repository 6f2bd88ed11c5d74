import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { readFacts } from '../../src/checks/facts.ts';
import { local, whoAmI } from '../../src/machine/local.ts';

/** What the numbers depend on, in words; one a line. */
export async function describeMachine(): Promise<string[]> {
  const { aes, ssh, systemd } = await readFacts(local, whoAmI());
  return [
    `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown processor'}, ${aes ? 'with' : 'without'} AES instructions; both hosts and the network between them share these`,
    `Node ${process.version}, ${ssh?.text ?? 'no ssh'}, systemd ${systemd ?? 'none'}, Linux ${release()}`,
    `load before the run (1 minute): ${loadavg()[0]!.toFixed(1)}`,
  ];
}
