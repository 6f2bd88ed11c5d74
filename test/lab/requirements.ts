import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { unifiedCgroupRoot } from './cgroup.ts';
import { treeOf, type Release } from './disk.ts';

export type Missing = {
  /** Debian packages that would mend it; none if no package does. */
  packages: string[];
  reason: string;
};

/** The programs which the lab runs, and the Debian packages they come from. */
const programs: Record<string, string> = {
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  sshd: 'openssh-server',
  'systemd-nspawn': 'systemd-container',
  systemctl: 'systemd',
  'dbus-daemon': 'dbus',
  nft: 'nftables',
  ip: 'iproute2',
  sudo: 'sudo',
  su: 'util-linux',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  tmux: 'tmux',
};

/** What this machine lacks for the lab: packages, root, namespaces. Nothing = all tests can run. */
export function missingRequirements(): Missing[] {
  const missing: Missing[] = [];
  for (const [program, debianPackage] of Object.entries(programs)) {
    if (!isInstalled(program)) missing.push({ packages: [debianPackage], reason: `${program} is not installed` });
  }
  if (!hasPamSystemd()) missing.push({ packages: ['libpam-systemd'], reason: 'pam_systemd is not installed' });
  if (process.getuid?.() !== 0) missing.push({ packages: [], reason: 'booting hosts needs root' });
  else if (!canMakeNamespaces()) missing.push({ packages: [], reason: 'namespaces cannot be made here (an unprivileged container?)' });
  if (unifiedCgroupRoot() === undefined) missing.push({ packages: [], reason: 'no cgroup v2 tree is mounted' });
  return missing;
}

/** The one line that installs what is missing; undefined if no package would help. */
export function installCommand(missing: readonly Missing[]): string | undefined {
  const packages = [...new Set(missing.flatMap((each) => each.packages))].sort();
  return packages.length === 0 ? undefined : `apt-get install --no-install-recommends -y ${packages.join(' ')}`;
}

/** Throws in CI if anything is missing; elsewhere tells whether the lab can be used. */
export function labIsUsable(missing: readonly Missing[] = missingRequirements()): boolean {
  if (missing.length === 0) return true;
  if (process.env['CI'] === undefined || process.env['CI'] === 'false') return false;
  const reasons = missing.map(({ reason }) => `- ${reason}`).join('\n');
  throw new Error(`the test lab cannot run here:\n${reasons}\n${installCommand(missing) ?? ''}`);
}

/** Whether hosts of a release can be booted; if not, `treeCommand` makes the tree. */
export function hasRelease(release: Release): boolean {
  return existsSync(join(treeOf(release), 'lib/systemd/systemd'));
}

/** The command that makes another Debian's tree (debootstrap is in the package of that name). */
export function treeCommand(release: Exclude<Release, 'host'>): string {
  const packages = 'systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,openssh-client,sudo,nftables,iproute2,procps,libstdc++6';
  return `debootstrap --variant=minbase --include=${packages} ${release} ${treeOf(release)}`;
}

function isInstalled(program: string): boolean {
  // sbin is not on an ordinary user's PATH, and programs from there are run all the same
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function hasPamSystemd(): boolean {
  const folders = ['/lib', '/usr/lib', '/lib/x86_64-linux-gnu', '/lib/aarch64-linux-gnu', '/lib/arm-linux-gnueabihf', '/lib64'];
  return folders.some((folder) => existsSync(join(folder, 'security/pam_systemd.so')));
}

function canMakeNamespaces(): boolean {
  try {
    execFileSync('unshare', ['--mount', '--pid', '--fork', '--net', '--cgroup', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
