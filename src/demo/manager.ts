import { join } from 'node:path';
import { cancelled } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { systemctl } from '../unit/systemctl.ts';
import { startInBackground } from './background.ts';
import { findSeat } from './seat.ts';
import { waitFor } from './waitFor.ts';
import type { Ground, World } from './world.ts';

/** Whether the world has a service manager; if not, why not. */
export type Manager = { readonly runs: true } | { readonly runs: false; readonly why: string };

/** The few units without which a user manager does not start, or does not end in order (systemd.special(7)). */
const UNITS: Readonly<Record<string, string>> = {
  'default.target': '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n',
  'basic.target': '[Unit]\n',
  'shutdown.target': '[Unit]\nDefaultDependencies=no\nRefuseManualStart=yes\n',
  'exit.target': '[Unit]\nDefaultDependencies=no\nRequires=systemd-exit.service\nAfter=systemd-exit.service\n',
  // In any other slice it would be stopped by the very shutdown that it waits for.
  'systemd-exit.service':
    '[Unit]\nDefaultDependencies=no\nRequires=shutdown.target\nAfter=shutdown.target\nSuccessAction=exit-force\n[Service]\nSlice=-.slice\n',
};

/** What a login would have set, and nothing that the user's or the machine's own generators add to it. */
const SETTINGS: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  SYSTEMD_GENERATOR_PATH: '',
  SYSTEMD_ENVIRONMENT_GENERATOR_PATH: '',
  SYSTEMD_LOG_TARGET: 'console',
};

/** Milliseconds that a manager may take to come up; it takes a tenth of a second where nothing else goes on. */
const START_LIMIT = 5000;

/** Runs a throwaway `systemd --user` for as long as the work takes; where none can be started, the work goes on without. */
export async function withManager<T>({ machine, who, signal }: Ground, world: World, work: (manager: Manager) => Promise<T>): Promise<T> {
  const program = await findSystemd(machine);
  if (program === undefined) return work({ runs: false, why: 'systemd is not installed here' });
  const seat = await findSeat(machine, who, world.folder);
  if ('why' in seat) return work({ runs: false, why: seat.why });

  const units = join(world.folder, 'units');
  await machine.makeDirectory(units, 0o755);
  for (const [name, text] of Object.entries(UNITS)) await machine.write(join(units, name), text, 0o644);
  const settings = Object.entries({ ...SETTINGS, ...world.env }).map(([key, value]) => `${key}=${value}`);
  const running = startInBackground(machine, [...seat.argv, 'env', '-i', ...settings, program, '--user'], seat.env);
  try {
    const isUp = async () => (await systemctl(world.machine, 'user', world.who).run('is-active', '--quiet', 'default.target')).code === 0;
    await waitFor(async () => running.hasEnded() || (await isUp()), START_LIMIT, signal);
    if (signal.aborted) throw cancelled();
    return await work(!running.hasEnded() && (await isUp()) ? { runs: true } : { runs: false, why: lastLine(running.said()) });
  } finally {
    // A user manager takes SIGTERM for a wish to end in order, with all that it runs.
    await running.stop();
    await seat.free();
  }
}

async function findSystemd(machine: Machine): Promise<string | undefined> {
  for (const path of ['/usr/lib/systemd/systemd', '/lib/systemd/systemd']) {
    if (await machine.stat(path)) return path;
  }
  return undefined;
}

const lastLine = (said: string) => said.trim().split('\n').at(-1) || 'systemd --user does not come up';
