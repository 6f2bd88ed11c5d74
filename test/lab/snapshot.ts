import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from './disk.ts';

export type Entry = {
  /** 'gone': the release's tree has it, this disk no longer does. */
  type: 'file' | 'folder' | 'link' | 'other' | 'gone';
  /** Permission bits, as in chmod. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Only for files. */
  sha256: string;
  /** Only for symbolic links: where it points. */
  link: string;
  /** Whether the release's tree, before anything was installed, has something of that name. */
  inTree: boolean;
};

/** What of a disk differs from its release's tree, by absolute path. */
export type Snapshot = Map<string, Entry>;

export type SnapshotDifference = { added: string[]; removed: string[]; changed: string[] };

const gone: Entry = { type: 'gone', mode: 0, uid: 0, gid: 0, size: 0, sha256: '', link: '', inTree: true };

/** Places which a running machine writes to by itself. */
const volatilePaths = [
  /^\/(run|proc|sys|dev|tmp)$/,
  /^\/var\/(tmp|log|cache|spool)$/,
  /^\/srv\/lab$/,
  /^\/(etc|var)\/\.updated$/,
  /^\/etc\/(mtab|\.pwd\.lock|ld\.so\.cache)$/,
  /^\/var\/lib\/systemd\/(random-seed|timers|timesync|catalog|coredump|ephemeral-trees|pstore|rfkill|backlight)$/,
  /^\/var\/lib\/(private|sudo|dbus|lastlog|wtmpdb)$/,
  /^\/(root|home\/[^/]+)\/(\.cache|\.bash_history)$/,
];

/**
 * Lists everything below `paths` that differs from the release's tree: new, changed, or gone. What was written and put
 * back just as it was does not count. Times are left out, so two snapshots of the same state are equal.
 */
export function takeSnapshot({ merged, upper, lower }: Disk, paths: readonly string[] = ['/']): Snapshot {
  const found: Snapshot = new Map();
  for (const path of paths) visit(path === '/' ? '' : path);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));

  function visit(path: string): void {
    if (volatilePaths.some((pattern) => pattern.test(path))) return;
    const now = statOf(join(merged, path));
    const before = statOf(join(lower, path));
    if (!now) {
      if (before) found.set(path, gone);
      return;
    }
    // The disk holds nothing of its own here: neither this nor anything below it can differ.
    if (path !== '' && !statOf(join(upper, path))) return;
    const entry = describe(join(merged, path), now, before !== undefined);
    if (path !== '' && (!before || !same(entry, describe(join(lower, path), before, true)))) found.set(path, entry);
    if (!now.isDirectory()) return;
    const names = new Set(readdirSync(join(merged, path)));
    if (before?.isDirectory()) for (const name of readdirSync(join(lower, path))) names.add(name);
    for (const name of names) visit(`${path}/${name}`);
  }
}

/** What came, went and changed between two snapshots of a disk; each list is sorted. */
export function diffSnapshots(before: Snapshot, after: Snapshot): SnapshotDifference {
  const difference: SnapshotDifference = { added: [], removed: [], changed: [] };
  for (const path of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const a = before.get(path);
    const b = after.get(path);
    if (a && b && same(a, b)) continue;
    const wasThere = isThere(a, b);
    const isThereNow = isThere(b, a);
    if (wasThere && isThereNow) difference.changed.push(path);
    else (isThereNow ? difference.added : difference.removed).push(path);
  }
  return difference;
}

/** Whether a path exists in a snapshot. Where a snapshot does not list it, it is as in the tree, which the other one knows. */
function isThere(entry: Entry | undefined, other: Entry | undefined): boolean {
  return entry ? entry.type !== 'gone' : other?.inTree === true;
}

function describe(path: string, stat: Stats, inTree: boolean): Entry {
  const common = { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, size: 0, sha256: '', link: '', inTree };
  if (stat.isDirectory()) return { ...common, type: 'folder' };
  if (stat.isSymbolicLink()) return { ...common, type: 'link', link: readlinkSync(path) };
  if (!stat.isFile()) return { ...common, type: 'other' };
  return { ...common, type: 'file', size: stat.size, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
}

function same(a: Entry, b: Entry): boolean {
  return (['type', 'mode', 'uid', 'gid', 'size', 'sha256', 'link'] as const).every((key) => a[key] === b[key]);
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
