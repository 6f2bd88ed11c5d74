import { formatDestination } from './destination.ts';
import { isPublic } from './forward.ts';
import { isDeviceAccount, remoteForwards, serverOf, type Tunnel } from './tunnel.ts';

/**
 * How a person elsewhere reaches this machine through the tunnel: a command, and the same as an ssh_config(5) block.
 * @param login who to log in as here
 * @returns undefined when no remote forward with a fixed port leads to an sshd's usual port
 */
export function howToConnect(tunnel: Tunnel, login: string): { command: string[]; config: string } | undefined {
  const forward = remoteForwards(tunnel).find(({ listen, target }) => 'port' in listen && listen.port !== 0 && target !== 'socks' && !('path' in target) && target.port === 22);
  if (!forward || 'path' in forward.listen) return undefined;
  const { port } = forward.listen;
  if (isPublic(forward)) {
    return {
      command: ['ssh', '-p', String(port), `${login}@${tunnel.host}`],
      config: `Host ${tunnel.name}\n    HostName ${tunnel.host}\n    Port ${port}\n    User ${login}\n    HostKeyAlias ${tunnel.name}\n`,
    };
  }
  const inner = forward.listen.host === '::1' ? '::1' : 'localhost';
  const jump = [...tunnel.jump.map(formatDestination), openTo(tunnel)].join(',');
  return {
    command: ['ssh', '-J', jump, '-p', String(port), `${login}@${inner}`],
    config: `Host ${tunnel.name}\n    HostName ${inner}\n    Port ${port}\n    User ${login}\n    ProxyJump ${jump}\n    HostKeyAlias ${tunnel.name}\n`,
  };
}

/** A device's account lets nobody through: whoever comes logs in to the server as themselves. */
const openTo = (tunnel: Tunnel) =>
  (isDeviceAccount(tunnel.user) ? formatDestination({ host: tunnel.host, ...(tunnel.port !== 22 && { port: tunnel.port }) }) : serverOf(tunnel));
