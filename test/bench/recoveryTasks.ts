/** Tasks of the agent (agent.ts) that look after tunnels from the server's side. They run in its network, and outlive its reboot. */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Moment } from './agent.ts';

const now = (): Moment => Number(process.hrtime.bigint()) / 1e6;

/** Inode of the socket that listens on an IPv4 port of this network. No two sockets of a machine share one, not even one after the other. */
export function listener(port: number): string | undefined {
  const [hexadecimal, listening] = [port.toString(16).toUpperCase().padStart(4, '0'), '0A'];
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const columns = line.trim().split(/\s+/);
    if (columns[3] === listening && columns[1]?.endsWith(`:${hexadecimal}`)) return columns[9];
  }
  return undefined;
}

export interface Watch {
  readonly port: number;
  /** What a connection has to be told. */
  readonly banner: string;
  /** The {@link listener} from before the fault: the old session's. */
  readonly before: string | undefined;
  /**
   * How often the old session may be dialled: a dial is traffic, and traffic on a dead session makes the server notice that it is
   * dead. A new session is dialled at once.
   */
  readonly dialOld: 'never' | 'once' | 'often';
  readonly timeoutMs: number;
}

/** When a connection to the tunnel's port first got the banner; null if none did in time. */
export async function untilRecovered({ port, banner, before, dialOld, timeoutMs }: Watch): Promise<Moment | null> {
  const began = now();
  const knocking = new Set<Socket>();
  let recovered: Moment | null = null;
  const hear = (moment: Moment) => (recovered ??= moment);
  let [seen, dialledAt, dials] = [before, -Infinity, 0];
  let seenSince = began;
  while (recovered === null && now() - began < timeoutMs) {
    const found = listener(port);
    if (found !== seen) [seen, seenSince, dialledAt] = [found, now(), -Infinity];
    const mayDial = found !== undefined && (found !== before || dialOld === 'often' || (dialOld === 'once' && dials === 0));
    // The longer it takes, the less does a moment matter.
    if (mayDial && now() - dialledAt >= Math.max(20, (now() - seenSince) / 50)) {
      dialledAt = now();
      dials += 1;
      knock(port, banner, dialOld === 'once' && found === before ? timeoutMs : 10_000, knocking, hear);
    }
    await sleep(now() - began < 15_000 ? 5 : 50);
  }
  for (const socket of knocking) socket.destroy();
  return recovered;
}

/** Dials, and tells when the banner comes. */
function knock(port: number, banner: string, patienceMs: number, open: Set<Socket>, hear: (moment: Moment) => void): void {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  open.add(socket);
  const patience = setTimeout(() => socket.destroy(), patienceMs);
  socket.on('data', (chunk: Buffer) => {
    said += String(chunk);
    if (!said.startsWith(`${banner}\n`)) return;
    hear(now());
    socket.destroy();
  });
  socket.on('error', () => socket.destroy());
  socket.once('close', () => {
    clearTimeout(patience);
    open.delete(socket);
  });
}

/** When something last came through each port's trickle, and since when its connection has been heard from. */
const trickles = new Map<number, { last: Moment; since: Moment }>();

const [BEAT_MS, PORTION, SILENCE_MS, PAUSE_MS] = [100, Buffer.alloc(1000, 'x'), 5000, 250];

/** From now on keeps a connection to a port that carries 10 kB/s each way; a new one when it ends or has been silent for 5 s. */
export function trickle(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  let heard = now();
  const beat = setInterval(() => {
    if (now() - heard > SILENCE_MS) socket.destroy();
    else if (!socket.connecting && socket.writableLength < 64 * PORTION.length) socket.write(PORTION);
  }, BEAT_MS);
  socket.on('data', () => {
    heard = now();
    trickles.set(port, { last: heard, since: trickles.get(port)?.since ?? heard });
  });
  socket.on('error', () => socket.destroy());
  socket.once('close', () => {
    clearInterval(beat);
    trickles.delete(port);
    setTimeout(() => void trickle(port), PAUSE_MS);
  });
  return Promise.resolve();
}

/** Whether a {@link trickle} has been flowing for a second. */
export function isTrickling(port: number): Promise<boolean> {
  const flow = trickles.get(port);
  return Promise.resolve(flow !== undefined && now() - flow.last < 500 && now() - flow.since > 1000);
}
