import { join } from 'node:path';
import { type Identity, type Machine, runtimeDirectory } from '../machine/machine.ts';
import { systemctl } from '../unit/systemctl.ts';
import { waitFor } from './waitFor.ts';

/**
 * A control group of its own for the throwaway manager: a systemd takes everything that it finds in its group for its
 * own, and must never find the user's shell there.
 */
export interface Seat {
  /** Runs the words after it in the group. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Ends what is left in the group, and removes it. */
  free(): Promise<void>;
}

/** @returns why there is none, where the machine gives none */
export async function findSeat(machine: Machine, who: Identity, folder: string): Promise<Seat | { readonly why: string }> {
  const booted = await machine.stat('/run/systemd/system');
  if (booted) return scopeOfRunningSystemd(machine, who);
  if (who.uid !== 0) return { why: 'systemd does not run this machine, and then only root can start one' };
  return groupByHand(machine, folder);
}

/** What root's manager mounts, nobody else has to see. */
const MOUNTS_OF_ITS_OWN = ['unshare', '--mount', '--propagation', 'slave', '--'];

/** But its services have to see it: it mounts their credentials from a namespace beside its own. */
const SHARED_WITHIN = ['unshare', '--mount', '--propagation', 'shared', '--'];

/** systemd 257 builds the sandbox of a user's service in /run/user/UID, whatever XDG_RUNTIME_DIR says. Root's is there at times only. */
const HIDE_RUN_USER = `
set -e
mount -n -t tmpfs -o mode=755 tmpfs /run/user
mkdir -m 700 /run/user/0
exec "$@"
`;

/** The right way where a systemd runs: a scope, delegated, which goes with the last process in it (systemd-run(1)). */
async function scopeOfRunningSystemd(machine: Machine, who: Identity): Promise<Seat | { readonly why: string }> {
  const isRoot = who.uid === 0;
  const scope = `revtun-demo-${process.pid}.scope`;
  const env = { XDG_RUNTIME_DIR: runtimeDirectory(who) };
  if (!isRoot && !(await machine.stat(`${env.XDG_RUNTIME_DIR}/systemd/private`))) {
    return { why: `${who.userName} is not logged in here as systemd sees it, so that it lends no control group` };
  }
  return {
    argv: [
      'systemd-run', ...(isRoot ? [] : ['--user']), '--scope', '--quiet', '--collect', '-p', 'Delegate=yes', `--unit=${scope}`, '--',
      ...(isRoot ? [...MOUNTS_OF_ITS_OWN, 'sh', '-c', HIDE_RUN_USER, 'sh', ...SHARED_WITHIN] : []),
    ],
    env,
    free: async () => void (await machine.run(systemctl(machine, isRoot ? 'system' : 'user', who).argv('stop', '--', scope), { env, timeoutMs: 10_000 })),
  };
}

/**
 * Where nothing but root's word counts, as in many containers. `systemd --user` wants to see signs of a running
 * systemd in /run and one unified tree of control groups, so it gets a /run and a /sys/fs/cgroup that only it sees.
 */
async function groupByHand(machine: Machine, folder: string): Promise<Seat | { readonly why: string }> {
  const tree = await unifiedTree(machine);
  if (tree === undefined) return { why: 'there is no unified tree of control groups on this machine' };
  const group = join(tree, `revtun-demo-${process.pid}`);
  try {
    await machine.makeDirectory(group, 0o755);
  } catch (error) {
    return { why: `this machine lets nobody make control groups (${(error as Error).message})` };
  }
  return {
    argv: [...MOUNTS_OF_ITS_OWN, 'sh', '-c', ENTER, 'sh', group, folder, ...SHARED_WITHIN],
    env: {},
    free: async () => {
      await machine.run(['sh', '-c', 'echo 1 > "$1/cgroup.kill"', 'sh', group]);
      await waitFor(() => removeGroup(machine, group), 3000);
    },
  };
}

const ENTER = `
set -e
group=$1 folder=$2
shift 2
echo 0 > "$group/cgroup.procs"
mount -n -t cgroup2 cgroup2 /sys/fs/cgroup
new=$folder/new-run
mkdir "$new"
mount -n -t tmpfs -o mode=755 tmpfs "$new"
mkdir -p "$new/systemd/system" "$new/user/0" "$new\${folder#/run}"
mount -n --bind "$folder" "$new\${folder#/run}"
mount -n --move "$new" /run
exec "$@"
`;

/** Where the unified tree is mounted: /sys/fs/cgroup, or a folder below it on a hybrid machine (proc(5), mountinfo). */
async function unifiedTree(machine: Machine): Promise<string | undefined> {
  const lines = ((await machine.read('/proc/self/mountinfo'))?.toString() ?? '').split('\n');
  return lines.find((line) => / - cgroup2 /.test(line))?.split(' ')[4];
}

/** Groups go from the inside out, and only when they are empty; their files are no files. */
async function removeGroup(machine: Machine, group: string): Promise<boolean> {
  try {
    for (const name of await machine.list(group)) {
      const inner = join(group, name);
      if ((await machine.stat(inner))?.kind === 'directory') await removeGroup(machine, inner);
    }
    return await machine.removeEmptyDirectory(group);
  } catch {
    return false; // EBUSY: somebody is still in it
  }
}
