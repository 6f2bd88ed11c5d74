import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { treesRoot } from './lab/paths.ts';

/** The versions of Node.js on which the built package has to run: the oldest that package.json promises, and the newest line. */
export const NODES = ['20.17', '22.13', '24'] as const;

/** Where they lie from one run to the next. Fetching them takes no root. */
const nodesRoot = process.getuid?.() === 0 ? treesRoot : join(homedir(), '.cache/revtun-lab');

/** The folder of a version's `node`. */
export const nodeFolder = (version: string) => join(nodesRoot, `node-${version}`);

export const missingNodes = () => NODES.filter((version) => !existsSync(join(nodeFolder(version), 'node')));

/** Fetches what is missing from npm, where install.sh gets its own. What it could not do is still missing afterwards. */
export function fetchNodes(): void {
  missingNodes().forEach(fetchNode);
}

function fetchNode(version: string): void {
  const source = `node-linux-${process.arch}`;
  const scratch = mkdtempSync(join(tmpdir(), 'fetched-node-'));
  const command = ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--prefix', scratch, `${source}@${version}`];
  console.error(`+ ${command.join(' ')}`);
  try {
    if (spawnSync(command[0]!, command.slice(1), { stdio: ['ignore', 2, 2], timeout: 300_000 }).status !== 0) return;
    // Cut off half-way, it must not pass for a whole one.
    const unfinished = `${nodeFolder(version)}.unfinished`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    cpSync(join(scratch, 'node_modules', source, 'bin/node'), join(unfinished, 'node'));
    renameSync(unfinished, nodeFolder(version));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
