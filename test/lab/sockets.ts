import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer, isIPv6, type Server } from 'node:net';
import { disposable } from './cleanup.ts';

export type Listener = { address: string; port: number };

/** The TCP sockets that some processes listen on. A process that cannot be looked into counts as one without sockets. */
export function listenersOf(pids: readonly number[]): Listener[] {
  const inodes = new Set(pids.flatMap(socketInodes));
  return listeningSockets().filter(({ inode }) => inodes.has(inode)).map(({ address, port }) => ({ address, port }));
}

/** A port that was free a moment ago. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  const server = createServer();
  const port = await listen(server, address, 0);
  await close(server);
  return port;
}

export type TestServer = { port: number; connections: () => number; stop: () => Promise<void> };

/** Accepts TCP connections and never says a word. */
export function silentServer(address = '127.0.0.1'): Promise<TestServer> {
  return serve(address, undefined);
}

/** Answers every TCP connection with a line, and hangs up. */
export function bannerOnly(line: string, address = '127.0.0.1'): Promise<TestServer> {
  return serve(address, line);
}

async function serve(address: string, line: string | undefined): Promise<TestServer> {
  let connections = 0;
  const sockets = new Set<{ destroy: () => void }>();
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
    if (line !== undefined) socket.end(`${line}\r\n`);
  });
  const port = await listen(server, address, 0);
  return {
    port,
    connections: () => connections,
    stop: disposable(async () => {
      for (const socket of sockets) socket.destroy();
      await close(server);
    }),
  };
}

function listen(server: Server, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, ipv6Only: isIPv6(address) }, () => {
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => { resolve(); });
  });
}

function socketInodes(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1] ?? []);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function listeningSockets(): (Listener & { inode: string })[] {
  const listening = '0A';
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    readFileSync(table, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === listening)
      .map((columns) => {
        const [address = '', port = ''] = (columns[1] ?? '').split(':');
        return { address: readableAddress(address), port: Number.parseInt(port, 16), inode: columns[9] ?? '' };
      }),
  );
}

/** The kernel writes an address as hexadecimal words in the machine's byte order. */
function readableAddress(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join('.');
  if (/^(00){15}01$/.test(bytes.join(''))) return '::1';
  if (/^0+$/.test(bytes.join(''))) return '::';
  return (bytes.join('').match(/.{4}/g) ?? []).join(':');
}
