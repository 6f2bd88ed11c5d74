import { randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { cancelled, failed } from '../errors.ts';
import { listenAnywhere } from './ports.ts';

/** A service of this machine's, which the demo reaches through its tunnel: greets, and sends its bytes to who says a word. */
export interface Service {
  readonly port: number;
  readonly payload: Buffer;
}

export const GREETING = 'revtun-setup demo\n';

/** Enough to see a speed, little enough for a small board: 16 MiB. */
const PAYLOAD_BYTES = 16 * 1024 * 1024;

/** Milliseconds that the bytes may take. */
const TRANSFER_LIMIT = 20_000;

/** Runs the service for as long as the work takes. */
export async function withService<T>(work: (service: Service) => Promise<T>): Promise<T> {
  const payload = randomBytes(PAYLOAD_BYTES);
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.write(GREETING);
    socket.once('data', () => socket.end(payload));
  });
  const port = await listenAnywhere(server);
  try {
    return await work({ port, payload });
  } finally {
    // Connections that somebody still holds end with the tunnel.
    server.close();
    server.unref();
  }
}

/**
 * Fetches the payload from wherever the service can be reached.
 * @returns seconds from the word to the last byte
 * @throws ExpectedError unless every byte comes as it was sent
 */
export function fetchPayload({ payload }: Service, port: number, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, signal });
    const chunks: Buffer[] = [];
    let began = 0;
    socket.setTimeout(TRANSFER_LIMIT, () => socket.destroy(failed('demo-silent', `Nothing came through the tunnel for ${TRANSFER_LIMIT / 1000} s.`)));
    socket.once('data', () => {
      began = performance.now();
      socket.write('now\n');
      socket.on('data', (chunk) => chunks.push(chunk));
    });
    socket.once('error', (error) => reject(signal.aborted ? cancelled() : failed('demo-unreachable', `The service cannot be reached through the tunnel: ${error.message}`)));
    socket.once('end', () => {
      const seconds = (performance.now() - began) / 1000;
      socket.destroy();
      if (Buffer.concat(chunks).equals(payload)) resolve(seconds);
      else reject(failed('demo-damaged', 'What came through the tunnel is not what was sent.'));
    });
  });
}
