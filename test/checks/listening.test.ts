import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { afterAll, expect, test } from '@jest/globals';
import { listeningPorts } from '../../src/checks/listening.ts';
import { local } from '../../src/machine/local.ts';
import type { Machine } from '../../src/machine/machine.ts';

const servers: Server[] = [];
afterAll(() => servers.forEach((server) => server.close()));

async function listen(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

test.each(['127.0.0.1', '0.0.0.0', '::1', '::'])('a real listener on %s is found, and dialled by localhost', async (host) => {
  const port = await listen(host);
  expect((await listeningPorts(local)).filter((one) => one.port === port)).toEqual([expect.objectContaining({ port, host: 'localhost' })]);
});

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0502A8C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:8124 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 000080FE000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
`;

test('addresses, states and names are read as the kernel writes them', async () => {
  const files: Record<string, string> = { '/proc/net/tcp': TCP, '/proc/net/tcp6': TCP6, '/etc/services': 'http-alt\t8080/tcp\twebcache\nhttp-alt 8080/udp\n' };
  const machine = { ...local, read: async (path: string) => Buffer.from(files[path] ?? '') } satisfies Machine;
  expect(await listeningPorts(machine)).toEqual([
    { port: 22, host: 'localhost', name: 'ssh' },
    { port: 443, host: '2001:0db8:0000:0000:0000:0000:0000:0001', name: 'https' },
    { port: 8080, host: '192.168.2.5', name: 'http-alt' },
  ]);
});
