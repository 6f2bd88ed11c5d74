import type { Host } from './host.ts';
import { startLab } from './hosts.ts';
import type { Release } from './disk.ts';
import type { Result } from './child.ts';

export type SystemManager = {
  host: Host;
  /** /etc/systemd/system of the host, as this machine finds it: write units there, then `systemctl('daemon-reload')`. */
  unitDir: string;
  systemctl: (...args: string[]) => Promise<Result>;
  dispose: () => Promise<void>;
};

/** A system manager (systemd as pid 1) with nothing in /etc/systemd/system but sshd's links. Of another Debian, if wanted. */
export async function startSystemManager(release: Release = 'host'): Promise<SystemManager> {
  const { hosts, dispose } = await startLab({ machine: { release } });
  return {
    host: hosts.machine,
    unitDir: hosts.machine.rootPath('/etc/systemd/system'),
    systemctl: (...args) => hosts.machine.run(['systemctl', '--no-pager', ...args]),
    dispose,
  };
}
