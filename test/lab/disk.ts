import { randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { succeed } from './child.ts';
import { cheapKeyExchange } from './keyExchange.ts';
import { treesRoot } from './paths.ts';
import type { Sandbox } from './sandbox.ts';

/** Which system a host runs: this machine's own, or another Debian. */
export type Release = 'host' | 'bullseye' | 'trixie';

/** Paths that this process can open, all with the same tree below them. */
export type Disk = {
  /** Where the host's root lies, as seen inside the sandbox. */
  mountPoint: string;
  /** What the host sees. */
  merged: string;
  /** What differs from the release's tree. */
  upper: string;
  /** The release's tree. */
  lower: string;
};

export type DiskContent = {
  hostname: string;
  /** The text of /etc/hosts. */
  hosts: string;
  /** Whether the user pi may become root without a password. */
  sudo: boolean;
};

export const ordinaryUser = { name: 'pi', uid: 1000, home: '/home/pi' };

/** The tree a release is booted from. */
export function treeOf(release: Release): string {
  return release === 'host' ? '/' : join(treesRoot, release);
}

/** Whatever this machine has in these places is none of a lab host's business. */
const hiddenPaths = [
  '/etc/systemd/system',
  '/etc/systemd/user',
  '/etc/ssh/sshd_config.d',
  '/etc/ssh/ssh_config.d',
  '/etc/sudoers.d',
  '/etc/cron.d',
  ...[0, 1, 2, 3, 4, 5, 6, 'S'].map((level) => `/etc/rc${level}.d`),
  '/home',
  '/root',
  '/usr/local/lib/systemd',
  '/var/lib/systemd',
  '/var/log',
];

/** Units that a lab host does well without, and boots faster. */
const maskedUnits = [
  'console-getty.service',
  'dev-hugepages.mount',
  'getty@.service',
  'modprobe@.service',
  'proc-sys-fs-binfmt_misc.automount',
  'sys-fs-fuse-connections.mount',
  'sys-kernel-config.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'systemd-ask-password-console.path',
  'systemd-ask-password-wall.path',
  'systemd-binfmt.service',
  'systemd-hwdb-update.service',
  'systemd-initctl.socket',
  'systemd-pcrphase.service',
  'systemd-pcrphase-sysinit.service',
  'systemd-resolved.service',
  'systemd-sysctl.service',
  'systemd-sysusers.service',
  'systemd-tmpfiles-clean.timer',
  'systemd-update-utmp.service',
  'systemd-update-utmp-runlevel.service',
];

/** Programs that a manager runs at each reload, and each manager of a user at its start: a dozen, and none has work here. */
const generatorKinds = ['system-generators', 'user-generators', 'user-environment-generators'];

/** Lays a disk of its own over a release's tree and makes a newly installed machine of it. */
export async function makeDisk(sandbox: Sandbox, name: string, release: Release, content: DiskContent): Promise<Disk> {
  const tree = treeOf(release);
  const base = `/run/rvt/${name}`;
  const mountPoint = `${base}/root`;
  await sandbox.succeed(['sh', '-c', overlayScript, 'sh', base, tree, ...hiddenPaths]);
  const disk = {
    mountPoint,
    merged: sandbox.path(mountPoint),
    upper: sandbox.path(`${base}/upper`),
    lower: sandbox.path(tree),
  };
  fill(disk, content);
  await makeHostKeys(disk.merged);
  return disk;
}

// A whiteout (a character device 0,0) hides what the tree has; a folder made over it starts empty.
const overlayScript = `
set -e
base=$1 tree=$2
shift 2
mkdir -p "$base/upper" "$base/work" "$base/root"
for path; do
  mkdir -p "$base/upper\${path%/*}"
  mknod "$base/upper$path" c 0 0
done
mount -t overlay -o "lowerdir=$tree,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
cd "$base/root"
for path; do
  shift
  set -- "$@" ".$path"
done
mkdir -p "$@"
`;

function fill({ merged, lower }: Disk, { hostname, hosts, sudo }: DiskContent): void {
  const at = (path: string) => join(merged, path);
  const write = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(at(path)), { recursive: true });
    // Removed first: it may be a symbolic link, and would lead out of the disk.
    rmSync(at(path), { force: true });
    writeFileSync(at(path), text, { mode });
  };
  const link = (path: string, target: string) => {
    mkdirSync(dirname(at(path)), { recursive: true });
    symlinkSync(target, at(path));
  };

  write('/etc/hostname', `${hostname}\n`);
  write('/etc/hosts', hosts);
  write('/etc/machine-id', `${randomBytes(16).toString('hex')}\n`, 0o444);
  write('/etc/resolv.conf', '# the lab has no DNS\n');
  // Without these two, systemd takes the boot for the first one after an update.
  write('/etc/.updated', '');
  write('/var/.updated', '');

  for (const unit of maskedUnits) link(`/usr/local/lib/systemd/system/${unit}`, '/dev/null');
  if (isThrifty()) makeThrifty(at('/'), lower);
  link('/etc/systemd/system/multi-user.target.wants/ssh.service', '/lib/systemd/system/ssh.service');
  link('/etc/systemd/system/sshd.service', '/lib/systemd/system/ssh.service');
  link('/etc/systemd/system/default.target', '/lib/systemd/system/multi-user.target');

  chmodSync(at('/root'), 0o700);
  chmodSync(at('/etc/sudoers.d'), 0o750);
  if (sudo) write(`/etc/sudoers.d/${ordinaryUser.name}`, `${ordinaryUser.name} ALL=(ALL) NOPASSWD: ALL\n`, 0o440);
  for (const [path, mode, entries] of accountFiles()) {
    const text = withoutOrdinaryAccounts(readFileSync(join(lower, path), 'utf8'), readFileSync(join(lower, '/etc/passwd'), 'utf8'));
    write(path, text + entries, mode);
    if (mode === 0o640) chownSync(at(path), 0, shadowGroup(lower));
  }
  const { home, uid } = ordinaryUser;
  mkdirSync(at(home), { mode: 0o755 });
  for (const file of ['.bashrc', '.profile', '.bash_logout']) {
    const skeleton = join(lower, '/etc/skel', file);
    if (!existsSync(skeleton)) continue;
    cpSync(skeleton, at(`${home}/${file}`));
    chownSync(at(`${home}/${file}`), uid, uid);
  }
  chownSync(at(home), uid, uid);
  for (const key of ['rsa', 'ecdsa', 'ed25519', 'dsa']) {
    for (const suffix of ['', '.pub']) rmSync(at(`/etc/ssh/ssh_host_${key}_key${suffix}`), { force: true });
  }
}

/** Where costs are measured, hosts are as they come: REVTUN_TEST_HOSTS=stock. */
const isThrifty = () => process.env['REVTUN_TEST_HOSTS'] !== 'stock';

/** Spares what takes half of each boot, reload and login, and is of no matter to a tunnel. */
function makeThrifty(root: string, lower: string): void {
  for (const kind of generatorKinds) {
    const masks = join(root, '/usr/local/lib/systemd', kind);
    mkdirSync(masks, { recursive: true });
    for (const generator of readdirSync(join(lower, '/lib/systemd', kind))) symlinkSync('/dev/null', join(masks, generator));
  }
  appendFileSync(join(root, '/etc/ssh/sshd_config'), `${cheapKeyExchange}\n`);
}

function accountFiles(): [path: string, mode: number, entries: string][] {
  const { name, uid, home } = ordinaryUser;
  return [
    ['/etc/passwd', 0o644, `${name}:x:${uid}:${uid}::${home}:/bin/bash\n`],
    ['/etc/shadow', 0o640, `${name}:*:19000:0:99999:7:::\n`],
    ['/etc/group', 0o644, `${name}:x:${uid}:\n`],
    ['/etc/gshadow', 0o640, `${name}:!::\n`],
  ];
}

/** The lines of an account file without those of people: a lab host knows only system accounts and `pi`. */
function withoutOrdinaryAccounts(text: string, passwd: string): string {
  const people = new Set<string>();
  for (const line of passwd.split('\n')) {
    const [name, , uid] = line.split(':');
    if (name !== undefined && Number(uid) >= 1000 && Number(uid) < 60_000) people.add(name);
  }
  const kept = text.split('\n').filter((line) => line !== '' && !people.has(line.split(':')[0] ?? ''));
  return kept.map((line) => `${line}\n`).join('');
}

function shadowGroup(lower: string): number {
  const groups = readFileSync(join(lower, '/etc/group'), 'utf8');
  return Number(/^shadow:[^:]*:(\d+):/m.exec(groups)?.[1] ?? 0);
}

/** Fresh host keys. No RSA key: making one takes longer than the whole boot. */
async function makeHostKeys(merged: string): Promise<void> {
  for (const type of ['ed25519', 'ecdsa']) {
    await succeed(['ssh-keygen', '-q', '-t', type, '-N', '', '-C', '', '-f', join(merged, `/etc/ssh/ssh_host_${type}_key`)]);
  }
}
