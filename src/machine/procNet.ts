import { endianness } from 'node:os';

/** How a processor stores numbers, in which the kernel of that machine prints addresses. */
export type ByteOrder = 'little' | 'big';

export const HERE: ByteOrder = endianness() === 'LE' ? 'little' : 'big';

/** The state of a socket that listens, as /proc/net/tcp has it (include/net/tcp_states.h). */
export const LISTENS = '0A';

/**
 * The bytes of an address of /proc/net/tcp or tcp6: four of IPv4, also where it comes mapped into IPv6 (RFC 4291,
 * 2.5.5.2), otherwise sixteen. The kernel prints it as 32-bit words in its own byte order (proc(5)).
 */
export function addressBytes(hex: string, order: ByteOrder = HERE): Buffer {
  const bytes = Buffer.from(hex, 'hex');
  if (order === 'little') bytes.swap32();
  return bytes.length === 16 && bytes.subarray(0, 12).toString('hex') === '00000000000000000000ffff' ? bytes.subarray(12) : bytes;
}

/** The same as Node's net spells it. */
export function addressOf(hex: string, order: ByteOrder = HERE): string {
  const bytes = addressBytes(hex, order);
  return bytes.length === 4 ? bytes.join('.') : new URL(`http://[${bytes.toString('hex').match(/.{4}/g)!.join(':')}]`).hostname.slice(1, -1);
}
