import { fingerprint } from '../../checks/hostKey.ts';
import { failed } from '../../errors.ts';
import { sshConfigOf } from '../../input/sshConfigOf.ts';
import type { ServerState } from '../../server/state.ts';
import { type Destination, parseJump } from '../../tunnel/destination.ts';
import type { Context } from '../context.ts';

/** How a device gets to the server: names and ports that no ssh_config of this machine has to explain. */
export interface Way {
  readonly host: string;
  readonly port: number;
  readonly jump: readonly Destination[];
  /** A ProxyCommand of this machine's, which a device cannot be told. */
  readonly proxyCommand: string | undefined;
}

/** What `ssh -G` makes of the way from here, hop by hop. */
export async function wayOf({ machine, who }: Pick<Context, 'machine' | 'who'>, destination: Destination): Promise<Way> {
  const values = await sshConfigOf(machine, who, destination);
  const hops = values.proxyjump === undefined || values.proxyjump === 'none' ? [] : parseJump(values.proxyjump);
  const jump = await Promise.all(hops.map(async (hop): Promise<Destination> => {
    const { hostname, user, port } = await sshConfigOf(machine, who, hop);
    return { host: hostname ?? hop.host, ...(user !== undefined && { user }), ...(port !== undefined && port !== '22' && { port: Number(port) }) };
  }));
  const proxyCommand = hops.length > 0 || values.proxycommand === 'none' ? undefined : values.proxycommand;
  return { host: values.hostname ?? destination.host, port: Number(values.port ?? destination.port ?? 22), jump, proxyCommand };
}

/** The key that ssh would be shown first, as it lies on the server itself: no one in between could have put in another. */
export function hostKeyOf({ hostKeys }: ServerState): string {
  const preferred = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa'];
  for (const type of preferred) {
    const key = hostKeys.find((one) => one.type === type);
    if (key) return fingerprint(key);
  }
  throw failed('no-host-key', 'The public halves of the host keys are not where sshd has its host keys.', 'Write them there: ssh-keygen -y -f KEY > KEY.pub');
}
