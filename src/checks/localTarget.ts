import type { DialResult, Machine } from '../machine/machine.ts';
import { type Endpoint, type Forward, isLoopback } from '../tunnel/forward.ts';
import { fetchHostKey, type HostKey } from './hostKey.ts';
import { listeningPorts } from './listening.ts';
import type { Probe } from './throughTunnel.ts';

export const dialable = (target: Endpoint) => ('path' in target ? target : { host: target.host ?? 'localhost', port: target.port });

/** Milliseconds to reach a target, and for its first words. Another machine has a name, and packets on the way to it get lost. */
const [HERE, ELSEWHERE, FIRST_WORDS] = [2000, 5000, 2000];

/** What the service's ssh would meet at its target. */
export const dialTarget = (machine: Machine, target: Endpoint): Promise<DialResult> =>
  machine.dial(dialable(target), 'path' in target || isLoopback(target.host ?? 'localhost') ? HERE : ELSEWHERE, FIRST_WORDS);

/**
 * The host key that this machine's own sshd has, as a rule. Where it is the one that comes out of the tunnel, sshd here need not
 * be asked for it: OpenSSH 9.8 and newer hold each connection that does not log in against its address (sshd_config(5),
 * PerSourcePenalties), and everyone who comes through the tunnel has the same.
 */
export async function hostKeyOnDisk(machine: Machine, target: Forward['target']): Promise<HostKey | undefined> {
  if (target === 'socks' || 'path' in target || target.port !== 22 || (target.host ?? 'localhost') !== 'localhost') return undefined;
  if (!(await listeningPorts(machine)).some(({ port }) => port === target.port)) return undefined;
  const [type, blob] = (await machine.read('/etc/ssh/ssh_host_ed25519_key.pub').catch(() => undefined))?.toString().trim().split(/\s+/) ?? [];
  return type === 'ssh-ed25519' && blob !== undefined ? { type, blob } : undefined;
}

/** The host key of the sshd that the forward leads to, asked directly. */
export async function localHostKey({ machine, bench, tunnel, who }: Probe, target: { readonly host?: string; readonly port: number }): Promise<HostKey | undefined> {
  try {
    return await fetchHostKey(machine, { ...tunnel, jump: [], host: target.host ?? 'localhost', port: target.port, user: who.userName }, bench);
  } catch {
    return undefined;
  }
}
