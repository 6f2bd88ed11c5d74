import { type Identity, type Machine, runtimeDirectory } from '../machine/machine.ts';
import { SSH } from '../tunnel/ssh.ts';

/** What a decision of ours can depend on, read once. */
export interface Facts {
  readonly who: Identity;
  /** Version number of systemd; undefined where there is none. */
  readonly systemd: number | undefined;
  /** Which service managers run. */
  readonly managers: { readonly system: boolean; readonly user: boolean };
  /** OpenSSH's version as major.minor, and as it calls itself; undefined where there is no ssh. */
  readonly ssh: { readonly version: number; readonly text: string } | undefined;
  /** The processor has AES instructions, so that AES-GCM is the fastest cipher. */
  readonly aes: boolean;
  readonly selinux: boolean;
  /** Whether an ordinary user may make user namespaces; some distributions forbid it. */
  readonly namespaces: boolean;
}

export async function readFacts(machine: Machine, who: Identity): Promise<Facts> {
  const [systemd, ssh, system, user, enforce, aes, namespaces] = await Promise.all([
    machine.run(['systemctl', '--version']),
    machine.run([SSH, '-V']),
    machine.stat('/run/systemd/system'),
    machine.stat(`${runtimeDirectory(who)}/systemd/private`),
    machine.read('/sys/fs/selinux/enforce'),
    hasAes(machine),
    mayMakeNamespaces(machine, who),
  ]);
  const systemdVersion = /^systemd (\d+)/.exec(systemd.stdout)?.[1];
  const sshVersion = /^OpenSSH_(\d+\.\d+)[^\s,]*/.exec(ssh.stderr);
  return {
    who,
    systemd: systemdVersion === undefined ? undefined : Number(systemdVersion),
    managers: { system: system !== undefined, user: user !== undefined },
    ssh: sshVersion ? { version: Number(sshVersion[1]), text: sshVersion[0].replace('_', ' ') } : undefined,
    aes,
    selinux: enforce?.toString() === '1',
    namespaces,
  };
}

/** Whether the processor has AES instructions: "flags" on x86, "Features" on ARM (proc(5), cpuinfo). */
export async function hasAes(machine: Machine): Promise<boolean> {
  return /^(flags|Features)\s*:.*\baes\b/m.test((await machine.read('/proc/cpuinfo'))?.toString() ?? '');
}

/** Whether this user may make user namespaces. Root may; it is only asked for others. */
export async function mayMakeNamespaces(machine: Machine, who: Identity): Promise<boolean> {
  return who.uid === 0 || (await machine.run(['unshare', '--user', '--map-root-user', 'true'])).code === 0;
}
