import { CLI, type World } from '../e2e/world.ts';
import type { Measurer } from './measurer.ts';

/** Two tunnels between the same hosts at the same time, to the same service on the device. */
export interface Tunnels {
  /** Ports on the server. */
  readonly ours: number;
  readonly plain: number;
  /** Where both hosts serve bytes themselves: the device's is what the tunnels lead to, the server's the way without one. */
  readonly target: number;
  /** Pids, on the device, of the processes that each consists of. */
  readonly processes: () => Promise<{ readonly ours: readonly number[]; readonly plain: readonly number[] }>;
}

const PORTS = { ours: 22300, plain: 22301, target: 9000 } as const;
const UNIT = 'revtun-bench.service';

/** Installs ours, and starts `ssh -NTR` as a person would, with the defaults of both ends. */
export async function openTunnels({ device, fingerprint, server }: World<never>, onDevice: Measurer, onServer: Measurer): Promise<Tunnels> {
  for (const host of [onDevice, onServer]) await host.call('serve', PORTS.target);
  await device.succeed([
    process.execPath, CLI, 'install', 'bench', '--host', 'pi@server.test', '--host-key', fingerprint,
    '--remote-port', String(PORTS.ours), '--local-port', String(PORTS.target),
  ]);
  await device.writeFile('/root/.ssh/known_hosts', await server.knownHostsLine(), { mode: 0o600 });
  const forward = `127.0.0.1:${PORTS.plain}:localhost:${PORTS.target}`;
  const plain = device.spawn(['sh', '-c', 'echo $$; exec "$@"', 'sh', '/usr/bin/ssh', '-NTR', forward, 'pi@server.test']);
  const plainPid = new Promise<number>((resolve, reject) => {
    plain.child.stdout!.once('data', (line: Buffer) => resolve(Number(line)));
    void plain.exited.then((code) => reject(new Error(`plain ssh ended with exit code ${code}`)));
  });
  await onServer.call('untilOpen', PORTS.plain, 10_000);
  return {
    ...PORTS,
    processes: async () => {
      const group = (await device.succeed(['systemctl', 'show', '-p', 'ControlGroup', '--value', UNIT])).trim();
      const ours = (await device.readFile(`/sys/fs/cgroup${group}/cgroup.procs`)).trim().split('\n').map(Number);
      return { ours, plain: [await plainPid] };
    },
  };
}
