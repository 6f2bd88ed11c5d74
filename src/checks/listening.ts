import type { Machine } from '../machine/machine.ts';
import { addressBytes } from '../machine/procNet.ts';

/** A TCP port that something on this machine listens on. */
export interface Listening {
  readonly port: number;
  /** Where a program on this machine reaches it. */
  readonly host: string;
  /** The service's name in /etc/services, if it has one. */
  readonly name?: string;
}

/** TCP ports that listen here, lowest first, each once; from /proc/net/tcp and tcp6 (proc(5)). */
export async function listeningPorts(machine: Machine): Promise<Listening[]> {
  const [tcp, tcp6, services] = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6', '/etc/services'].map(async (path) => (await machine.read(path).catch(() => undefined))?.toString() ?? ''),
  ) as [string, string, string];
  const names = servicesByPort(services);
  const found = new Map<number, Listening>();
  for (const { port, host } of [...socketsIn(tcp), ...socketsIn(tcp6)]) {
    // A listener that everything on this machine reaches is the better of two.
    if (found.get(port)?.host === 'localhost') continue;
    const name = names.get(port);
    found.set(port, { port, host, ...(name !== undefined && { name }) });
  }
  return [...found.values()].toSorted((a, b) => a.port - b.port);
}

/** Rows of /proc/net/tcp{,6} in state LISTEN (0A). */
function socketsIn(table: string): { port: number; host: string }[] {
  return [...table.matchAll(/^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ 0A /gm)].flatMap(([, address = '', port = '']) => {
    const host = hostToDial(addressBytes(address));
    return host === undefined ? [] : [{ port: Number.parseInt(port, 16), host }];
  });
}

function hostToDial(address: Buffer): string | undefined {
  if (address.length === 4) return address[0] === 127 || address.every((byte) => byte === 0) ? 'localhost' : address.join('.');
  if (address.subarray(0, 15).every((byte) => byte === 0) && address[15]! <= 1) return 'localhost';
  // A link-local address means nothing without the name of its interface.
  if (address[0] === 0xfe && (address[1]! & 0xc0) === 0x80) return undefined;
  return address.toString('hex').match(/.{4}/g)!.join(':');
}

/** Of /etc/services (services(5)); a minimal system lacks the file. */
function servicesByPort(text: string): Map<number, string> {
  const found = new Map([[22, 'ssh'], [80, 'http'], [443, 'https']]);
  for (const [, name = '', port = ''] of text.matchAll(/^([\w.+-]+)[ \t]+(\d+)\/tcp\b/gm)) found.set(Number(port), name);
  return found;
}
