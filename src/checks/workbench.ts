import { join } from 'node:path';
import { cancelled } from '../errors.ts';
import type { Machine, RunOptions, RunResult } from '../machine/machine.ts';
import type { Forward } from '../tunnel/forward.ts';
import { checkArgv, ONE_TRY, type Patience, sshConfig } from '../tunnel/ssh.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';

/**
 * A private folder in which ssh runs with the configuration of the service, but for its patience, before (or without)
 * it being installed: the key under the name that a credential has, and known hosts that the caller fills.
 */
export interface Workbench {
  /** Where it is. */
  readonly machine: Machine;
  readonly directory: string;
  readonly config: string;
  readonly knownHosts: string;
  /** Milliseconds that a login may take. */
  readonly limit: number;
  /** Sets the pinned lines. */
  pin(lines: readonly string[]): Promise<void>;
  /** Runs ssh to the tunnel's server, or to another place on the same terms. */
  ssh(tunnel: Tunnel, flags: readonly string[], forwards: readonly Forward[], options: RunOptions, command?: readonly string[]): Promise<RunResult>;
}

/** How long a check waits for a server. */
export interface Terms {
  readonly patience: Patience;
  /** Milliseconds for a whole login. */
  readonly limit: number;
}

/** ssh's own limits for connect, banner, key exchange and login are shorter in sum. */
const IN_PEACE: Terms = { patience: ONE_TRY, limit: 25_000 };

/**
 * @param tunnel whose configuration to use
 * @param key path of its private key, wherever that lies for now; undefined where no login is wanted
 * @param signal ends an ssh that waits for a server, which then throws as cancelled
 */
export async function withWorkbench<T>(machine: Machine, tunnel: Tunnel, key: string | undefined, signal: AbortSignal, work: (bench: Workbench) => Promise<T>, terms: Terms = IN_PEACE): Promise<T> {
  const directory = await machine.temporaryDirectory();
  try {
    const knownHosts = join(directory, 'known_hosts');
    const config = join(directory, 'ssh_config');
    // A link and not a copy: no second private key ever exists, and ssh's own check of the file's mode is the real one.
    if (key !== undefined) await machine.symlink(key, join(directory, 'key'));
    await machine.write(knownHosts, '', 0o600);
    await machine.write(config, sshConfig(tunnel, knownHosts, terms.patience), 0o600);
    return await work({
      machine,
      directory,
      config,
      knownHosts,
      limit: terms.limit,
      pin: (lines) => machine.write(knownHosts, lines.map((line) => `${line}\n`).join(''), 0o600),
      async ssh(to, flags, forwards, options, command = []) {
        if (signal.aborted) throw cancelled();
        const result = await machine.run(checkArgv(to, config, flags, forwards, command), {
          ...options,
          withAll: true,
          env: { CREDENTIALS_DIRECTORY: directory },
          signal: options.signal ? AbortSignal.any([options.signal, signal]) : signal,
        });
        // What an ssh said that we ended is no answer of the server's.
        if (signal.aborted) throw cancelled();
        return result;
      },
    });
  } finally {
    await machine.removeTree(directory);
  }
}
