import { readFacts } from '../../checks/facts.ts';
import { generateKey } from '../../checks/key.ts';
import { freePort } from '../../demo/ports.ts';
import type { Server } from '../../demo/server.ts';
import { fetchPayload, type Service } from '../../demo/service.ts';
import type { Show } from '../../demo/show.ts';
import type { World } from '../../demo/world.ts';
import type { Draft } from '../../input/fields.ts';
import { resolveTunnel } from '../../input/resolve.ts';
import type { KeyPair } from '../../tunnel/key.ts';
import { authorizedKeysLine, type Tunnel } from '../../tunnel/tunnel.ts';
import type { Context } from '../context.ts';

/** All that the demo is played with. */
export interface Stage extends Context {
  readonly show: Show;
  readonly world: World;
  readonly service: Service;
  readonly server: Server;
  /** What a user would have asked for, and what that comes to. */
  readonly draft: Draft;
  readonly tunnel: Tunnel;
  /** The server accepts it. */
  readonly key: KeyPair & { readonly path: string };
  /** The server's port that leads to the service. */
  readonly port: number;
}

/** What the demo measures. */
export interface Seen {
  readonly manager: 'user' | null;
  readonly bytes: number;
  /** In millions of bytes a second. */
  readonly megabytesPerSecond: number;
  readonly recoverySeconds: number | null;
}

/** Wishes for two forwards: one to the sshd here, whose host key proves the way, and one to the service. */
export async function setStage(props: Omit<Stage, 'draft' | 'tunnel' | 'key' | 'port'>): Promise<Stage> {
  const { world, server, service, show } = props;
  show.say('done', `an ssh server, as ${server.user} on 127.0.0.1:${server.port}`);
  const [sshPort, port] = [await freePort(), await freePort()];
  const draft: Draft = {
    name: 'demo', scope: 'user', host: { host: LOOPBACK, port: server.port, user: server.user }, jump: [],
    remoteForward: [leadTo(sshPort, server.port), leadTo(port, service.port)],
    generateKey: true, hostKey: [server.fingerprint],
  };
  const { tunnel } = await resolveTunnel(draft, world.machine, await readFacts(world.machine, world.who));
  const key = await generateKey(world.machine, await world.machine.temporaryDirectory(), 'revtun-setup demo');
  await server.authorize(authorizedKeysLine(tunnel, key.publicKey));
  return { ...props, draft, tunnel, key, port };
}

const LOOPBACK = '127.0.0.1';

const leadTo = (listen: number, target: number) =>
  ({ kind: 'remote', listen: { host: LOOPBACK, port: listen }, target: { host: LOOPBACK, port: target } }) as const;

/** Sends the service's bytes through the tunnel. */
export async function transfer({ show, service, port, signal }: Stage): Promise<Pick<Seen, 'bytes' | 'megabytesPerSecond'>> {
  const bytes = service.payload.length;
  const seconds = await fetchPayload(service, port, signal);
  const megabytesPerSecond = Math.round(bytes / 1e5 / seconds) / 10;
  show.say('done', `${bytes / 1024 / 1024} MiB through the tunnel in ${seconds.toFixed(2)} s (${Math.round(megabytesPerSecond)} MB/s), each byte as it was sent`);
  return { bytes, megabytesPerSecond };
}
