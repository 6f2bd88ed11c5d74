import { join } from 'node:path';
import type { FileStat, Identity, Machine, RunOptions } from '../machine/machine.ts';
import { SSH } from '../tunnel/ssh.ts';

/** The world that the demo installs into: this machine, seen by a user whose home is an empty folder. */
export interface World {
  /** The home; everything of the demo's lies below it, but for the server's files. */
  readonly folder: string;
  /** Where its service manager lives: what /run/user/UID is to a real user. */
  readonly runtime: string;
  readonly machine: Machine;
  readonly who: Identity;
  /** What a program has to know to belong to this world. */
  readonly env: Readonly<Record<string, string>>;
}

/** The real machine, on which the demo is given. */
export interface Ground {
  readonly machine: Machine;
  readonly who: Identity;
  /** Ends the demo. */
  readonly signal: AbortSignal;
}

/** Makes the world for as long as the work takes. */
export async function withWorld<T>({ machine, who, signal }: Ground, work: (world: World) => Promise<T>): Promise<T> {
  const folder = await machine.temporaryDirectory();
  try {
    const runtime = join(folder, 'run');
    await machine.makeDirectory(runtime, 0o700);
    const env = {
      HOME: folder,
      XDG_CONFIG_HOME: join(folder, '.config'),
      XDG_RUNTIME_DIR: runtime,
      // Nobody is there. Without it, a systemctl that does not find this world's manager would turn to the user's own.
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(runtime, 'bus')}`,
      // No unit of the machine's or of the user's is part of it.
      SYSTEMD_UNIT_PATH: `${join(folder, '.config/systemd/user')}:${join(folder, 'units')}`,
    };
    return await work({
      folder,
      runtime,
      env,
      machine: inWorld(machine, who, folder, env, signal),
      who: { uid: who.uid, userName: who.userName, home: folder, env: { ...who.env, ...env } },
    });
  } finally {
    // systemd makes folders in its runtime directory that not even their owner may write to.
    await machine.run(['chmod', '-R', 'u+rwX', folder]);
    await machine.removeTree(folder);
  }
}

function inWorld(machine: Machine, who: Identity, folder: string, env: Readonly<Record<string, string>>, signal: AbortSignal): Machine {
  let benches = 0;
  return {
    ...machine,
    run: (argv, options: RunOptions = {}) => machine.run(withoutUsersSshConfig(argv), {
      ...options,
      env: { ...env, ...options.env },
      // Ctrl-C need not wait for an ssh that waits for a server. What undoes is no ssh.
      ...(argv[0] === SSH && { signal: AbortSignal.any(options.signal ? [options.signal, signal] : [signal]) }),
    }),
    // Nobody logs out of this world: whether the real user's services outlive a logout is not to be touched.
    stat: async (path) => (path === `/var/lib/systemd/linger/${who.userName}` ? LINGERING : machine.stat(path)),
    temporaryDirectory: async () => {
      benches += 1;
      const bench = join(folder, `bench-${benches}`);
      await machine.makeDirectory(bench, 0o700);
      return bench;
    },
  };
}

const LINGERING: FileStat = { kind: 'file', mode: 0o644, uid: 0, gid: 0, size: 0 };

/** ssh finds it by the account's home, not by $HOME. */
const withoutUsersSshConfig = (argv: readonly string[]) => (argv[0] === SSH && argv[1] === '-G' ? [SSH, '-F', 'none', ...argv.slice(1)] : argv);
