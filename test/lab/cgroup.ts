import { mkdirSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { ownerOf } from './paths.ts';
import { isAlive } from './processTree.ts';

/** Where this machine mounts the unified (v2) cgroup tree: /sys/fs/cgroup, or a folder below it on a hybrid machine. */
export function unifiedCgroupRoot(): string | undefined {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [mount, fileSystem] = line.split(' - ');
    if (fileSystem?.startsWith('cgroup2 ')) return mount?.split(' ')[4];
  }
  return undefined;
}

/** Makes a cgroup at the top of the tree. */
export function makeCgroup(name: string): string {
  const root = unifiedCgroupRoot();
  if (root === undefined) throw new Error('no cgroup v2 tree is mounted on this machine');
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Removes a cgroup and those below it, as far as no process is left in them. Tells whether all are gone. */
export function removeCgroup(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) removeCgroup(join(folder, entry.name));
    }
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** Removes cgroups which test runs that died have left behind. */
export function sweepCgroups(): void {
  const root = unifiedCgroupRoot();
  if (root === undefined) return;
  for (const name of readdirSync(root)) {
    const owner = ownerOf(name);
    if (owner !== undefined && !isAlive(owner)) removeCgroup(join(root, name));
  }
}

/** An argv that runs another one inside a cgroup. */
export function insideCgroup(folder: string, argv: readonly string[]): string[] {
  return ['sh', '-c', 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"', 'sh', folder, ...argv];
}
