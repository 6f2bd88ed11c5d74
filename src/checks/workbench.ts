import { join } from 'node:path';
import type { Machine, RunOptions, RunResult } from '../machine/machine.ts';
import type { Forward } from '../tunnel/forward.ts';
import { checkArgv, sshConfig } from '../tunnel/ssh.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';

/**
 * A private folder in which ssh runs with the very configuration of the service, before (or without) it being
 * installed: the key under the name that a credential has, and known hosts that the caller fills.
 */
export interface Workbench {
  readonly directory: string;
  readonly config: string;
  readonly knownHosts: string;
  /** Sets the pinned lines. */
  pin(lines: readonly string[]): Promise<void>;
  /** Runs ssh to the tunnel's server, or to another place on the same terms. */
  ssh(tunnel: Tunnel, flags: readonly string[], forwards: readonly Forward[], options: RunOptions): Promise<RunResult>;
}

/**
 * @param tunnel whose configuration to use
 * @param key path of its private key, wherever that lies for now; undefined where no login is wanted
 */
export async function withWorkbench<T>(machine: Machine, tunnel: Tunnel, key: string | undefined, work: (bench: Workbench) => Promise<T>): Promise<T> {
  const directory = await machine.temporaryDirectory();
  try {
    const knownHosts = join(directory, 'known_hosts');
    const config = join(directory, 'ssh_config');
    // A link and not a copy: no second private key ever exists, and ssh's own check of the file's mode is the real one.
    if (key !== undefined) await machine.symlink(key, join(directory, 'key'));
    await machine.write(knownHosts, '', 0o600);
    await machine.write(config, sshConfig(tunnel, knownHosts), 0o600);
    return await work({
      directory,
      config,
      knownHosts,
      pin: (lines) => machine.write(knownHosts, lines.map((line) => `${line}\n`).join(''), 0o600),
      ssh: (to, flags, forwards, options) =>
        machine.run(checkArgv(to, config, flags, forwards), { ...options, env: { CREDENTIALS_DIRECTORY: directory } }),
    });
  } finally {
    await machine.removeTree(directory);
  }
}
