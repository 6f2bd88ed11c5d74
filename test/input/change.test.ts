import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExpectedError } from '../../src/errors.ts';
import type { Draft } from '../../src/input/fields.ts';
import { wantedTunnel } from '../../src/input/wanted.ts';
import { toSettings, type Tunnel } from '../../src/tunnel/tunnel.ts';
import type { Installed } from '../../src/unit/installed.ts';
import { placesOf } from '../../src/unit/places.ts';
import * as arbitrary from '../tunnel/arbitrary.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { type Caller, makeCaller } from './caller.ts';

let caller: Caller;
beforeAll(() => {
  caller = makeCaller();
});
afterAll(() => caller.dispose());

async function changed(draft: Draft, tunnel: Tunnel = exampleTunnel()): Promise<Tunnel> {
  const installed: Installed = { name: tunnel.name, scope: tunnel.scope, places: placesOf(tunnel.scope, tunnel.name, ''), tunnel, lingering: false };
  const circumstances = { who: { ...caller.who, uid: 0 }, aes: true };
  return (await wantedTunnel({ name: tunnel.name, scope: tunnel.scope, ...draft }, installed, caller.machine, circumstances)).tunnel;
}

const refused = (draft: Draft, tunnel: Tunnel) => changed(draft, tunnel).then(() => undefined, (error: ExpectedError) => error);

const odd = exampleTunnel({
  jump: [{ host: 'jump', user: 'j', port: 1 }], port: 2222, keepalive: 9, onDown: ['/bin/tell'],
  forwards: forwards('-R 127.0.0.1:22222:10.0.0.1:80', '-L 8080:localhost:80', '-D 1080'),
});

test.each<[Draft, Partial<Tunnel>]>([
  [{ port: 22 }, { port: 22 }],
  [{ user: 'ann' }, { user: 'ann' }],
  [{ host: { host: 'other.example.com' } }, { host: 'other.example.com' }],
  [{ host: { host: 'other.example.com', user: 'ann', port: 7 } }, { host: 'other.example.com', user: 'ann', port: 7 }],
  [{ jump: [] }, { jump: [] }],
  [{ jump: [{ host: 'k', user: 'j', port: 2 }] }, { jump: [{ host: 'k', user: 'j', port: 2 }] }],
  [{ key: '/root/other' }, { identityFile: '/root/other' }],
  [{ generateKey: true }, { identityFile: '/etc/revtun/home/key' }],
  [{ keepalive: 15 }, { keepalive: 15 }],
  [{ cipher: 'aes128-ctr' }, { ciphers: 'aes128-ctr' }],
  [{ onDown: [] }, { onDown: [] }],
  [{ remotePort: 20002 }, { forwards: forwards('-R 127.0.0.1:20002:10.0.0.1:80', '-L 8080:localhost:80', '-D 1080') }],
  [{ remotePort: 22222, bind: '*' }, { forwards: forwards('-R *:22222:10.0.0.1:80', '-L 8080:localhost:80', '-D 1080') }],
  [{ remotePort: 22222, localPort: 81 }, { forwards: forwards('-R 127.0.0.1:22222:10.0.0.1:81', '-L 8080:localhost:80', '-D 1080') }],
  [{ remotePort: 22222, localHost: 'h' }, { forwards: forwards('-R 127.0.0.1:22222:h:80', '-L 8080:localhost:80', '-D 1080') }],
  [{ localForward: [], dynamicForward: forwards('-D 1080', '-D 1081') }, { forwards: forwards('-R 127.0.0.1:22222:10.0.0.1:80', '-D 1080', '-D 1081') }],
  [{ remoteForward: [] }, { forwards: forwards('-L 8080:localhost:80', '-D 1080') }],
])('%j changes that and nothing else', async (draft, difference) => {
  expect(await changed(draft, odd)).toEqual({ ...odd, ...difference });
});

test('a port for a tunnel without a remote forward is a new forward', async () => {
  const tunnel = exampleTunnel({ forwards: forwards('-D 1080') });
  expect((await changed({ remotePort: 20002 }, tunnel)).forwards).toEqual(forwards('-R 127.0.0.1:20002:localhost:22', '-D 1080'));
});

test.each<[Draft, string]>([
  [{ remoteForward: forwards('-R 9:b:9') }, ' -R 127.0.0.1:22222:10.0.0.1:80'],
  [{ localForward: forwards('-L 9:b:9') }, ' -L 8080:localhost:80'],
])('%j is refused, as another forward would be lost', async (draft, lost) => {
  const error = await refused(draft, odd);
  expect(error).toMatchObject({ id: 'would-drop-settings', exitCode: 2 });
  expect(error?.message.split('\n').slice(1)).toEqual([` ${lost}`]);
  const [, both, , others] = error!.hint.split('\n');
  for (const command of [both, others]) expect(command).toContain(' 9:b:9 ');
  expect(both).toContain(lost);
  expect(others).toBe(both!.replace(lost, ''));
});

test('a port is refused where it is not clear which forward it is for', async () => {
  const tunnel = exampleTunnel({ forwards: forwards('-R 1:a:2', '-R 3:b:4') });
  expect(await refused({ remotePort: 9 }, tunnel)).toMatchObject({ id: 'usage', hint: expect.stringContaining('-R 1:a:2 -R 3:b:4') });
});

test('whether a device releases its port stays as it is, unless the account changes', async () => {
  const device = exampleTunnel({ user: 'revtun-a', release: false });
  expect((await changed({ keepalive: 9 }, device)).release).toBe(false);
  expect((await changed({ user: 'revtun-b' }, device)).release).toBe(true);
  expect((await changed({ noRelease: true }, { ...device, release: true })).release).toBe(false);
});

test('one thing that is said anew as it is changes nothing, whatever is installed', async () => {
  const said = fc.constantFrom<(tunnel: Tunnel) => Draft>(
    ({ host }) => ({ host: { host } }), ({ user }) => ({ user }), ({ port }) => ({ port }), ({ jump }) => ({ jump }), ({ identityFile }) => ({ key: identityFile }),
    ({ keepalive }) => ({ keepalive }), ({ ciphers }) => ({ cipher: ciphers }), ({ forwards: all }) => ({ localForward: all.filter(({ kind }) => kind === 'local') }),
  );
  await fc.assert(fc.asyncProperty(arbitrary.tunnel, said, async (tunnel, of) => {
    expect(toSettings(await changed(of(tunnel), tunnel))).toEqual(toSettings(tunnel));
  }), { numRuns: 60 });
});
