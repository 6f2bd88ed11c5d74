import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { insideCgroup, makeCgroup, removeCgroup, sweepCgroups } from './cgroup.ts';
import { execute, start, succeed, type Result, type RunOptions } from './child.ts';
import { disposable } from './cleanup.ts';
import { freshName, ownerOf, tmuxFolder } from './paths.ts';
import { childrenOf, isAlive } from './processTree.ts';
import { waitFor } from './waitFor.ts';

/**
 * A set of private namespaces (mounts, pids, cgroups, perhaps the network) held open by one process.
 *
 * The holder is pid 1 of its pid namespace and reads a pipe from us: if we die, even by SIGKILL, the pipe ends, the holder
 * ends, and the kernel kills all that ran inside and drops all mounts and network namespaces. Nothing needs to be undone.
 */
export type Sandbox = {
  /** `rvt-<our pid>-<random>` */
  name: string;
  /** The argv that runs another one inside. */
  enter: (argv: readonly string[]) => string[];
  run: (argv: readonly string[], options?: RunOptions) => Promise<Result>;
  /** Runs a program that has to succeed; returns what it printed. */
  succeed: (argv: readonly string[], options?: RunOptions) => Promise<string>;
  /** A path that this process can open for a path as seen inside. Absolute symbolic links in it lead outside: beware. */
  path: (inside: string) => string;
  /** Makes a cgroup for some of the processes inside; the path is as seen from outside. */
  cgroup: (name: string) => string;
  dispose: () => Promise<void>;
};

// The last line keeps cat from taking the shell's place: as pid 1 the shell has orphans to bury.
const holderScript = `
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo ready
cat > /dev/null
exit 0
`;

/** Opens a sandbox with an empty /run and, in /sys/fs/cgroup, a unified cgroup tree that begins at the sandbox. */
export async function openSandbox({ network }: { network: 'private' | 'shared' }): Promise<Sandbox> {
  sweepLeftovers();
  const name = freshName();
  const cgroup = makeCgroup(name);
  const flags = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--cgroup', '--propagation', 'private'];
  if (network === 'private') flags.push('--net');
  const unshare = ['unshare', ...flags, 'sh', '-c', holderScript, name];
  const holder = start(insideCgroup(cgroup, unshare), ['pipe', 'pipe', 'pipe']);
  const ended = once(holder, 'exit');

  let complaint = '';
  holder.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString('utf8');
  });
  await new Promise<void>((resolve, reject) => {
    holder.once('error', reject);
    holder.once('exit', () => {
      reject(new Error(`could not open a sandbox: ${complaint}`));
    });
    if (holder.stdout) createInterface(holder.stdout).once('line', () => { resolve(); });
  });
  const pid = childrenOf(holder.pid ?? 0)[0];
  if (pid === undefined) throw new Error('the sandbox has ended at once');

  const namespaces = ['-m', '-p', '-C', ...(network === 'private' ? ['-n'] : [])];
  const enter = (argv: readonly string[]) => ['nsenter', '-t', String(pid), ...namespaces, '--', ...argv];
  return {
    name,
    enter,
    run: (argv, options) => execute(enter(argv), options),
    succeed: (argv, options) => succeed(enter(argv), options),
    path: (inside) => join(`/proc/${pid}/root`, inside),
    cgroup: (child) => {
      const folder = join(cgroup, child);
      mkdirSync(folder, { recursive: true });
      return folder;
    },
    dispose: disposable(async () => {
      holder.kill('SIGKILL');
      await ended;
      await waitFor(() => !isAlive(pid), { everyMs: 10, what: 'the sandbox to end' });
      await waitFor(() => removeCgroup(cgroup), { everyMs: 10, what: `${cgroup} to be empty` });
    }),
  };
}

/** Removes files and cgroups of test runs that died. (Their processes died with them.) */
export function sweepLeftovers(): void {
  sweepCgroups();
  for (const folder of [tmpdir(), tmuxFolder()].filter((each) => existsSync(each))) {
    for (const name of readdirSync(folder)) {
      const owner = ownerOf(name);
      if (owner !== undefined && !isAlive(owner)) rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}
