import { fileURLToPath } from 'node:url';
import type { Result } from '../lab/child.ts';
import type { Host, HostRunOptions } from '../lab/host.ts';
import type { Release } from '../lab/disk.ts';
import { type HostPlan, type Lab, startLab } from '../lab/hosts.ts';
import { waitFor } from '../lab/waitFor.ts';

/** The built program, as users get it. */
export const CLI = fileURLToPath(new URL('../../dist/cli.cjs', import.meta.url));

export interface World<Name extends string> extends Lab<Name | 'device' | 'server'> {
  readonly device: Host;
  readonly server: Host;
  /** Fingerprint of the server's host key, as its administrator would read it out. */
  readonly fingerprint: string;
  /** Runs revtun-setup on the device. */
  readonly revtun: (args: readonly string[], options?: HostRunOptions) => Promise<Result>;
}

/** The release of a host in this run: `npm run e2e:releases` runs files that know only this machine's own on others as well. */
export const releaseOf = (host: 'device' | 'server', otherwise: Release = 'host') =>
  (process.env[`REVTUN_TEST_${host.toUpperCase()}`] ?? otherwise) as Release;

/** A device behind NAT and a tunnel host; the device's root and pi have keys that the server's pi accepts. */
export async function makeWorld<const Name extends string = never>(
  more: Readonly<Record<Name, HostPlan>> = {} as Record<Name, HostPlan>,
  releases: { readonly device?: Release; readonly server?: Release } = {},
): Promise<World<Name>> {
  const { device: ofDevice = releaseOf('device'), server: ofServer = releaseOf('server') } = releases;
  const plans = { device: { side: 'nat', release: ofDevice }, server: { release: ofServer }, ...more } as Record<Name | 'device' | 'server', HostPlan>;
  const lab = await startLab(plans);
  const { device, server } = lab.hosts;
  for (const [home, owner] of [['/root', 'root'], ['/home/pi', 'pi']] as const) {
    await device.succeed(['runuser', '-u', owner, '--', 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', `${home}/.ssh/id_ed25519`]);
    await server.authorizeKey('pi', await device.readFile(`${home}/.ssh/id_ed25519.pub`));
  }
  return {
    ...lab,
    device,
    server,
    fingerprint: await server.hostKeyFingerprint(),
    revtun: (args, options) => device.run([process.execPath, CLI, ...args], { timeoutMs: 90_000, ...options }),
  };
}

/** The first line that a TCP port of a host says to the host itself (or to another one), '' for silence; undefined when refused. */
export async function firstLine(from: Host, port: number, address = '127.0.0.1'): Promise<string | undefined> {
  const script = `exec 3<>"/dev/tcp/$2/$1" || exit 9; IFS= read -r -t 2 line <&3; printf %s "$line"`;
  const { code, stdout } = await from.run(['timeout', '4', 'bash', '-c', script, 'bash', String(port), address]);
  return code === 0 || code === 1 ? stdout.trim() : undefined;
}

/** Milliseconds until the device's sshd answers at a port of the server. */
export async function untilReachable(server: Host, port: number, timeoutMs = 30_000): Promise<number> {
  const begin = performance.now();
  await waitFor(async () => (await firstLine(server, port))?.startsWith('SSH-') === true, { what: `a tunnel at port ${port}`, timeoutMs });
  return performance.now() - begin;
}

/** What systemd has to say against a unit file. */
export async function complaintsAbout(host: Host, unitFile: string): Promise<string> {
  const { stdout, stderr } = await host.run(['systemd-analyze', 'verify', unitFile]);
  // systemd 247 says a line about the lab's own cgroups first.
  return (stdout + stderr).split('\n').filter((line) => !/Couldn't move remaining userspace/.test(line)).join('\n');
}

/** What changed on a file system, less the backups that useradd and userdel make of their own files (passwd(5)). */
export function withoutBackups(diff: { added: string[]; removed: string[]; changed: string[] }): typeof diff {
  const isBackup = (path: string) => /^\/etc\/(passwd|shadow|group|gshadow)-$/.test(path);
  return {
    added: diff.added.filter((path) => !isBackup(path)),
    removed: diff.removed.filter((path) => !isBackup(path)),
    changed: diff.changed.filter((path) => !isBackup(path)),
  };
}

export const UNCHANGED = { added: [], removed: [], changed: [] };
