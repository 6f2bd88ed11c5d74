import { spawnSync } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { treeOf } from './lab/disk.ts';
import { hasRelease, installCommand, type Missing, missingRequirements, treeCommand } from './lab/requirements.ts';

const releases = ['bullseye', 'trixie'] as const;

/** What tests run besides the lab's own programs, and the Debian packages it comes from. */
const programs: Readonly<Record<string, string>> = {
  shellcheck: 'shellcheck', ps: 'procps', ss: 'iproute2', zsh: 'zsh', fish: 'fish', groff: 'groff-base', mandoc: 'mandoc',
};

/** The same for what is no program. */
const files: Readonly<Record<string, string>> = { '/usr/share/bash-completion/bash_completion': 'bash-completion' };

/** What this machine lacks for the tests, other Debians apart. Nothing = all can run. */
export function lacking(): Missing[] {
  const needed = missingTrees().length === 0 ? programs : { ...programs, debootstrap: 'debootstrap' };
  const absent = Object.entries(needed).filter(([program]) => !isThere(program));
  const notThere = Object.entries(files).filter(([path]) => !existsSync(path));
  return [...missingRequirements(), ...[...absent, ...notThere].map(([what, source]) => ({ packages: [source], reason: `${what} is not installed` }))];
}

/** The other Debians of which no tree is here to boot. */
export const missingTrees = () => releases.filter((release) => !hasRelease(release));

/** Installs what `lacking` names, and makes the trees, as root can. What it could not do is still lacking afterwards. */
export function equip(): void {
  const install = installCommand(lacking());
  if (install !== undefined) {
    // A fresh machine's list of packages is empty or old.
    run(['apt-get', 'update']);
    run(install.split(' '));
  }
  missingTrees().forEach(makeTree);
}

function makeTree(release: (typeof releases)[number]): void {
  const tree = treeOf(release);
  // Cut off half-way, it must not pass for a whole one.
  const unfinished = `${tree}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  if (run(treeCommand(release).replace(tree, unfinished).split(' '))) renameSync(unfinished, tree);
}

function run([program = '', ...args]: readonly string[]): boolean {
  console.error(`+ ${[program, ...args].join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', PATH: searchPath };
  return spawnSync(program, args, { stdio: ['ignore', 2, 2], env, timeout: 900_000 }).status === 0;
}

function isThere(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program], { env: { PATH: searchPath } }).status === 0;
}

const searchPath = `${process.env['PATH']}:/usr/sbin:/sbin`;
