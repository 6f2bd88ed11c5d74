import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execute, start, type Result, type RunOptions } from './child.ts';
import { insideCgroup } from './cgroup.ts';
import { disposable } from './cleanup.ts';
import { freshFolder } from './paths.ts';
import { openSandbox } from './sandbox.ts';
import { openTerminal, type Terminal, type TerminalOptions } from './terminal.ts';
import { waitFor } from './waitFor.ts';

/** `systemd --user` of our own, which knows no unit but ours. */
export type UserManager = {
  /** A home of its own, in the machine's temporary folder. */
  home: string;
  /** ~/.config/systemd/user below that home: where units go. */
  unitDir: string;
  /** What a program needs to talk to it; it has to run inside, too: see `run`. */
  env: Record<string, string>;
  /** Runs a program which sees this user manager. Files and the network are the machine's own, but for /run. */
  run: (argv: readonly string[], options?: RunOptions) => Promise<Result>;
  /** As `run`, in a pseudo-terminal. */
  terminal: (options: TerminalOptions) => Promise<Terminal>;
  /** `systemctl --user …` */
  systemctl: (...args: string[]) => Promise<Result>;
  /** All that the manager and its units have written. (There is no journal.) */
  output: () => string;
  dispose: () => Promise<void>;
};

/** The few units without which a user manager does not start; the machine's own are not looked at. */
const standardUnits: Record<string, string> = {
  'default.target': '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n',
  'basic.target': '[Unit]\nWants=paths.target sockets.target timers.target\nAfter=paths.target sockets.target\n',
  'paths.target': '[Unit]\n',
  'sockets.target': '[Unit]\n',
  'timers.target': '[Unit]\n',
  'shutdown.target': '[Unit]\nDefaultDependencies=no\nRefuseManualStart=yes\n',
  'exit.target': '[Unit]\nDefaultDependencies=no\nRequires=systemd-exit.service\nAfter=systemd-exit.service\n',
  'systemd-exit.service':
    '[Unit]\nDefaultDependencies=no\nRequires=shutdown.target\nAfter=shutdown.target\n[Service]\nType=oneshot\nExecStart=/bin/true\n',
};

/** Starts a private user manager in well under a second. Needs root, for the namespaces. */
export async function startUserManager(): Promise<UserManager> {
  const sandbox = await openSandbox({ network: 'shared' });
  const home = freshFolder();
  const dispose = disposable(async () => {
    await sandbox.dispose();
    rmSync(home, { recursive: true, force: true });
  });
  try {
    const unitDir = join(home, '.config/systemd/user');
    const standardDir = '/run/standard-units';
    const runtimeDir = '/run/user/0';
    const env = {
      HOME: home,
      XDG_CONFIG_HOME: join(home, '.config'),
      XDG_RUNTIME_DIR: runtimeDir,
      SYSTEMD_UNIT_PATH: `${unitDir}:${standardDir}`,
    };
    mkdirSync(unitDir, { recursive: true });
    mkdirSync(sandbox.path(standardDir));
    // sd_booted(): without this folder systemctl thinks that the machine does not run systemd at all
    mkdirSync(sandbox.path('/run/systemd/system'), { recursive: true });
    mkdirSync(sandbox.path(runtimeDir), { recursive: true, mode: 0o700 });
    for (const [name, text] of Object.entries(standardUnits)) writeFileSync(sandbox.path(join(standardDir, name)), text);

    const enter = (argv: readonly string[], { env: more = {}, cwd = process.cwd() }: Pick<RunOptions, 'env' | 'cwd'> = {}) => {
      const settings = Object.entries({ ...env, ...more }).map(([key, value]) => `${key}=${value}`);
      return sandbox.enter(['env', '-u', 'DBUS_SESSION_BUS_ADDRESS', '-C', cwd, ...settings, ...argv]);
    };
    const run: UserManager['run'] = (argv, options = {}) => {
      const { input, timeoutMs } = options;
      return execute(enter(argv, options), {
        ...(input === undefined ? {} : { input }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
    };
    const systemctl: UserManager['systemctl'] = (...args) => run(['systemctl', '--user', '--no-pager', ...args]);

    const toConsole = { env: { SYSTEMD_LOG_TARGET: 'console' } };
    const manager = start(insideCgroup(sandbox.cgroup('manager'), enter(['/lib/systemd/systemd', '--user'], toConsole)), ['ignore', 'pipe', 'pipe']);
    let output = '';
    manager.stdout?.on('data', (chunk: Buffer) => { output += chunk.toString('utf8'); });
    manager.stderr?.on('data', (chunk: Buffer) => { output += chunk.toString('utf8'); });
    await waitFor(
      async () => {
        if (manager.exitCode !== null) return 'ended';
        return (await systemctl('is-system-running')).stdout.trim() === 'running' && 'running';
      },
      { everyMs: 20, what: 'the user manager to run' },
    ).then((state) => {
      if (state === 'ended') throw new Error(`systemd --user ended with exit code ${manager.exitCode}:\n${output}`);
    });
    return {
      home,
      unitDir,
      env,
      run,
      terminal: ({ argv, env: more = {}, cwd = process.cwd(), ...size }) => openTerminal({ ...size, argv: enter(argv, { env: more, cwd }) }),
      systemctl,
      output: () => output,
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
