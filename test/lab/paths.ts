import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone this file lies in, wherever that is. */
export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Where trees of other Debian releases lie, one folder a release. */
export const treesRoot = process.env['RVT_TREES'] ?? '/var/cache/revtun-lab';

/** Everything the lab makes is called `rvt-<owner pid>-<random>`, so that a later run can tell what was left behind. */
export function freshName(): string {
  return `${ownedPrefix(process.pid)}${randomBytes(3).toString('hex')}`;
}

/** The process that made a thing of that name; undefined if the name is not one of ours. */
export function ownerOf(name: string): number | undefined {
  const pid = /^rvt-(\d+)-/.exec(name)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** A new folder below the machine's temporary folder, swept by a later run if this one dies. */
export function freshFolder(): string {
  return mkdtempSync(join(tmpdir(), ownedPrefix(process.pid)));
}

/** Where tmux keeps its servers' sockets. */
export function tmuxFolder(): string {
  return join(process.env['TMUX_TMPDIR'] ?? '/tmp', `tmux-${process.getuid?.() ?? 0}`);
}

function ownedPrefix(pid: number): string {
  return `rvt-${pid}-`;
}
