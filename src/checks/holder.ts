import { type ExpectedError, failed } from '../errors.ts';
import { type Forward, formatForward, reachedInside } from '../tunnel/forward.ts';
import { serverOf } from '../tunnel/tunnel.ts';
import { dialTarget, hostKeyOnDisk, localHostKey } from './localTarget.ts';
import { bannerThrough, handshakeThrough, type Inner, type Probe } from './throughTunnel.ts';

/**
 * Who has the port of a forward that the server refused.
 * - `self`: a connection to it arrives at this machine's own target
 * - `copy`: another machine answers that has this one's host key
 * - `dead`: it takes connections, and nothing comes of them
 * - `ended`: it was a dead session, which this very connection has shown to the server
 * - `other`: another program or machine
 * - `free`: nobody has it any more
 * - `unknown`: the server does not let this key look
 */
type Holder = 'self' | 'copy' | 'dead' | 'ended' | 'other' | 'free' | 'unknown';

/** Connects to the port from the server's side. Changes nothing. */
async function whoHolds(probe: Probe, { listen, target }: Forward): Promise<Holder> {
  if ('path' in listen || target === 'socks') return 'unknown';
  const end = reachedInside(listen);
  const here = await dialTarget(probe.machine, target);
  const speaksSsh = here.outcome === 'connected' && here.banner.startsWith('SSH-') && !('path' in target);
  const selfKey = speaksSsh ? ((await hostKeyOnDisk(probe.machine, target)) ?? (await localHostKey(probe, target))) : undefined;
  const look = () => (selfKey ? handshakeThrough(probe, end, selfKey) : bannerThrough(probe, end, target, here));
  const seen = await look();
  switch (seen) {
    // What the server sends to a device that has booted anew is answered by a reset, and then it knows.
    case 'closed': return (await look()) === 'no-listener' ? 'ended' : 'other';
    case 'self': return selfKey ? copyOrSelf(await bannerThrough(probe, end, target, here)) : 'self';
    // Without words of its own, a program that waits for others to begin looks just like a dead session.
    case 'silent': return selfKey ? 'dead' : 'unknown';
    case 'no-listener': return 'free';
    case 'forbidden': case 'unreached': case 'open': case 'perhaps-self': return 'unknown';
    default: return 'other';
  }
}

/** Copied cards have the same host keys: only a connection that arrives here tells one from the other. */
function copyOrSelf(seen: Inner): Holder {
  switch (seen) {
    case 'self': case 'perhaps-self': return 'self';
    case 'forbidden': case 'unreached': case 'no-listener': return 'unknown';
    default: return 'copy';
  }
}

/**
 * The refusal of a port, with whoever has it named as far as can be seen through the port itself.
 * @param refusal what is said where that cannot be told
 * @returns undefined when nobody has it any more
 */
export async function refusalBy(probe: Probe, refusal: ExpectedError, forward: Forward): Promise<ExpectedError | undefined> {
  const { tunnel } = probe;
  const port = 'port' in forward.listen ? forward.listen.port : 0;
  const refuse = (id: string, why: string, hint: string) => failed(id, `${serverOf(tunnel)} refused -R ${formatForward(forward)}: ${why}`, hint);
  const another = 'Or take another port with --remote-port.';
  switch (await whoHolds(probe, forward)) {
    case 'self': return refuse('port-mine', 'a connection of this very machine has the port already, and leads here.', `See which (another tunnel, an ssh of somebody's), and end it:\n  sudo ss -tnp dport = :${tunnel.port}\n  ps -eo pid,user,lstart,args | grep [s]sh\n${another}`);
    case 'copy': return refuse('two-devices', "another machine that has this one's host key holds the port. It is a copy of this one.", cureOfCopies(tunnel.host));
    case 'dead': return refuse('port-held', `a dead session has the port. It takes connections, and nothing comes of them.${tunnel.release ? ' The service ends it by itself when it logs in next.' : ''}`, `On the server, end it at once:\n  sudo fuser -k ${port}/tcp\nIt goes by itself after the server's time-out: up to 2 h 11 min with sshd's defaults, a minute with ClientAliveInterval 15. With an account of its own, a device ends it by itself: revtun-setup server add\n${another}`);
    case 'ended': return refuse('port-held', 'a dead session had the port until a moment ago. It ended when it was connected to.', 'Nothing is left to do but to try again, which a service does by itself. So that it does not happen again, an account of its own lets its port go on arrival: revtun-setup server add');
    case 'other': return refuse('port-taken', 'another program or machine has the port.', `On the server, see which:\n  sudo ss -ltnp 'sport = :${port}'\n${another}`);
    case 'free': return undefined;
    case 'unknown': return refusal;
  }
}

/** What ends a fight over one account. */
export const cureOfCopies = (host: string) =>
  `A copied SD card does that, and so does a second tunnel here with the same key. Give each machine its own account: on the copy, uninstall the tunnel, then as administrator of the server\n  revtun-setup server add NEW-NAME --key FILE.pub ${host}\nand install it there with what that prints.`;
