import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execute } from '../lab/child.ts';
import type { Host } from '../lab/host.ts';
import { treesRoot } from '../lab/paths.ts';

const CACHE = join(treesRoot, 'packages');

/** Installs a Debian package of this machine's release on a host of the same; on the machine itself nothing is installed. */
export async function installPackage(host: Host, name: string): Promise<void> {
  const content = await host.run(['dpkg', '-i', await fetchPackage(name)], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  if (content.code !== 0) throw new Error(`${name} cannot be installed on ${host.name}\n${content.stdout}${content.stderr}`);
}

/** The package's file, which every host with this machine's system sees at the same path. */
async function fetchPackage(name: string): Promise<string> {
  mkdirSync(CACHE, { recursive: true });
  const cached = () => readdirSync(CACHE).find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
  if (cached() === undefined) {
    const { code, stderr } = await execute(['apt-get', 'download', name], { cwd: CACHE, timeoutMs: 60_000 });
    if (code !== 0) throw new Error(`apt-get download ${name} fails:\n${stderr}`);
  }
  return join(CACHE, cached()!);
}
