import { type Forward, type ForwardKind, parseForward } from '../../src/tunnel/forward.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';

/** The plainest of tunnels; a test says what it is about. */
export function exampleTunnel(changes: Partial<Tunnel> = {}): Tunnel {
  return {
    name: 'home',
    scope: 'system',
    host: 'tunl.example.com',
    user: 'pi',
    port: 22,
    jump: [],
    forwards: forwards('-R 127.0.0.1:22222:localhost:22'),
    identityFile: '/root/.ssh/id_ed25519',
    keepalive: 3,
    ciphers: 'default',
    release: false,
    onDown: [],
    onUp: [],
    ...changes,
  };
}

/** `forwards('-R 1:a:2', '-D 3')` */
export function forwards(...specs: string[]): Forward[] {
  const kinds: Record<string, ForwardKind> = { '-R': 'remote', '-L': 'local', '-D': 'dynamic' };
  return specs.map((spec) => parseForward(kinds[spec.slice(0, 2)]!, spec.slice(3)));
}
