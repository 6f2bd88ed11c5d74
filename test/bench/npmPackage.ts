import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { succeed } from '../lab/child.ts';
import { freshFolder, repositoryRoot } from '../lab/paths.ts';
import { kb, type Result } from './result.ts';

type Packed = { filename: string; size: number; unpackedSize: number; entryCount: number };

/** What npm downloads and installs. Packed as it lies there: a build in the middle of a run would change what is measured. */
export async function measurePackage(): Promise<Result[]> {
  const folder = freshFolder();
  try {
    const pack = ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder];
    const [packed] = JSON.parse(await succeed(pack, { cwd: repositoryRoot })) as [Packed];
    const install = ['npm', 'install', '--offline', '--no-audit', '--no-fund', '--prefix', folder, join(folder, packed.filename)];
    await succeed(install, { cwd: folder, timeoutMs: 60_000 });
    const record = JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8')) as { packages: Record<string, unknown> };
    const count = Object.keys(record.packages).length;
    const plain = { against: '', ratio: '', aim: '', met: undefined };
    return [
      { ...plain, what: 'packages that npm installs', ours: String(count), aim: '1', met: count === 1 },
      { ...plain, what: 'size: packed, unpacked, files', ours: `${kb(packed.size)}, ${kb(packed.unpackedSize)}, ${packed.entryCount}` },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
