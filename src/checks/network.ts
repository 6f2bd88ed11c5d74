import type { Machine } from '../machine/machine.ts';

/**
 * Why nothing gets out of this machine at all, as a sentence's end; undefined when something may.
 * @param addresses that are to be reached: a network without a gateway has a way to its own hosts
 */
export async function whyNetworkIsDown(machine: Machine, addresses: readonly string[] = []): Promise<string | undefined> {
  const { code, stdout } = await machine.run(['ip', '-o', 'link'], { timeoutMs: 2000 });
  const links = [...stdout.matchAll(/^\d+: ([^:@\s]+)\S* .*? state (\S+)/gm)].flatMap(([, name = '', state = '']) => (name === 'lo' ? [] : [{ name, state }]));
  if (code === 0 && links.length === 0) return 'it has no network interface';
  if (links.length > 0 && links.every(({ state }) => DOWN.has(state))) return `no network interface is up (${links.map(({ name, state }) => `${name} is ${state}`).join(', ')})`;
  if (await hasDefaultRoute(machine)) return undefined;
  const routes = await Promise.all(addresses.map((address) => routeTo(machine, address)));
  return routes.some((route) => route !== undefined) ? undefined : 'it has no default route';
}

/** Operational states (RFC 2863) as ip(8) prints them; tunnels and PPP are UNKNOWN all the time. */
const DOWN = new Set(['DOWN', 'LOWERLAYERDOWN', 'NOTPRESENT', 'DORMANT']);

/** By the kernel's tables (proc(5)), flag 1 meaning up. A default route that rejects (`lo` in IPv6) is none. */
async function hasDefaultRoute(machine: Machine): Promise<boolean> {
  const read = async (path: string) => (await machine.read(path).catch(() => undefined))?.toString();
  const [four, six] = await Promise.all(['/proc/net/route', '/proc/net/ipv6_route'].map(read));
  // Where the tables cannot be read, nothing is concluded. They are the main ones; a rule may lead to another.
  if (four === undefined && six === undefined) return true;
  const rows = (table = '') => table.split('\n').map((line) => line.trim().split(/\s+/));
  return rows(four).some(([, to, , flags, , , , mask]) => to === '00000000' && mask === '00000000' && isUp(flags))
    || rows(six).some((row) => row[0] === '0'.repeat(32) && row[1] === '00' && row[9] !== 'lo' && isUp(row[8]));
}

const isUp = (flags = '') => (Number.parseInt(flags, 16) & 1) === 1;

/** Which way packets to an address go, as `ip route get` has it: `by eth0`, `over 192.168.1.1 by eth0`; undefined where nobody says. */
export async function routeTo(machine: Machine, address: string): Promise<string | undefined> {
  const { code, stdout } = await machine.run(['ip', '-o', 'route', 'get', address.replace(/%.*/, '')], { timeoutMs: 2000 });
  const [, over, by] = /^(?:local )?\S+(?: from \S+)?(?: via (?:inet6? )?(\S+))?.*? dev (\S+)/.exec(stdout) ?? [];
  return code !== 0 || by === undefined ? undefined : `${over === undefined ? '' : `over ${over} `}by ${by}`;
}
