import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import type { Draft } from '../../src/input/fields.ts';
import { resolveTunnel } from '../../src/input/resolve.ts';
import { forwards } from '../tunnel/example.ts';
import { type Caller, makeCaller } from './caller.ts';

const SSH_CONFIG = `
Host box
    HostName tunl.example.com
    User pi
    Port 2222
    IdentityFile ~/.ssh/box
Host inside
    HostName 10.0.0.9
    ProxyJump gate
Host gate
    HostName gate.example.com
    User me
    ProxyJump ann@outer.example.com:2200
Host commanded
    ProxyCommand nc %h %p
Host round
    ProxyJump circle
Host circle
    ProxyJump round
Host strange
    HostName "a b"
Host blank
    IdentityFile "~/.ssh/my key"
Host untidy
    IdentityFile ~/.ssh/../.ssh//box
`;

let caller: Caller;
beforeAll(() => {
  caller = makeCaller(SSH_CONFIG);
  for (const key of ['box', 'id_rsa', 'id_ed25519', 'my key']) caller.write(`.ssh/${key}`, 'key');
});
afterAll(() => caller.dispose());

const remotePort = 22222;
const resolve = (draft: Draft, { aes = false } = {}) => resolveTunnel(draft, caller.machine, { who: caller.who, aes });
const problem = (fields: object) => expect.objectContaining({ name: 'ExpectedError', exitCode: 2, ...fields });

test('what nobody said comes from our defaults', async () => {
  const { tunnel, notes } = await resolve({ host: { host: 'tunl.example.com', user: 'pi' }, remotePort });
  expect(tunnel).toEqual({
    name: 'tunl.example.com', scope: 'user', host: 'tunl.example.com', user: 'pi', port: 22, jump: [],
    forwards: forwards('-R 127.0.0.1:22222:localhost:22'),
    identityFile: join(caller.who.home, '.ssh/id_ed25519'), keepalive: 3, ciphers: 'default', release: false, onDown: [], onUp: [],
  });
  expect(notes).toEqual([]);
});

test('what was said wins over ssh_config', async () => {
  const { tunnel } = await resolve({
    host: { host: 'box', port: 1 }, user: 'ann', jump: [], key: '/k', name: 'home', scope: 'system', keepalive: 9, cipher: 'aes128-ctr',
    remotePort, bind: '*', localHost: 'printer', localPort: 631, localForward: forwards('-L 1:a:2'),
  });
  expect(tunnel).toEqual({
    name: 'home', scope: 'system', host: 'tunl.example.com', user: 'ann', port: 1, jump: [],
    forwards: forwards('-R *:22222:printer:631', '-L 1:a:2'), identityFile: '/k', keepalive: 9, ciphers: 'aes128-ctr', release: false, onDown: [], onUp: [],
  });
});

describe('a command that tells people', () => {
  const draft: Draft = { host: { host: 'tunl.example.com' }, remotePort };

  test('has the whole path of its program, found where a service looks', async () => {
    const { tunnel } = await resolve({ ...draft, onDown: ['sh', '-c', 'true'], onUp: ['/opt/tell', 'sh'] });
    expect(tunnel).toMatchObject({ onDown: [expect.stringMatching(/^\/(usr\/)?bin\/sh$/), '-c', 'true'], onUp: ['/opt/tell', 'sh'] });
  });

  test('is refused where no program has that name, with the flag', async () => {
    await expect(resolve({ ...draft, onUp: ['no-such-program'] })).rejects.toThrow(problem({ id: 'usage', message: expect.stringMatching(/^--on-up: there is no program "no-such-program" in \/usr\/local/) }));
  });
});

test.each<[Draft, boolean]>([
  [{ host: { host: 'h', user: 'revtun-home' } }, true],
  [{ host: { host: 'h' }, user: 'revtun-home' }, true],
  [{ host: { host: 'h', user: 'revtun-home' }, noRelease: true }, false],
  [{ host: { host: 'h', user: 'revtun' } }, false],
  [{ host: { host: 'h', user: 'my-revtun-home' } }, false],
])('%j: an account of ours is asked to release its port (%j)', async (draft, release) => {
  expect((await resolve({ ...draft, key: '/k', remotePort })).tunnel.release).toBe(release);
});

test('an alias is resolved, shown, and still gives the name', async () => {
  const { tunnel, notes } = await resolve({ host: { host: 'box' }, remotePort });
  expect(tunnel).toMatchObject({ name: 'box', host: 'tunl.example.com', user: 'pi', port: 2222, identityFile: join(caller.who.home, '.ssh/box') });
  expect(notes).toEqual(['box is pi@tunl.example.com:2222']);
});

test('jump hosts are resolved with the jump hosts of their own', async () => {
  const jump = [{ host: 'outer.example.com', user: 'ann', port: 2200 }, { host: 'gate.example.com', user: 'me', port: 22 }];
  const { tunnel, notes } = await resolve({ host: { host: 'inside', user: 'pi' }, remotePort });
  expect(tunnel.jump).toEqual(jump);
  expect(notes).toEqual(['pi@inside is pi@10.0.0.9:22 through ann@outer.example.com:2200, me@gate.example.com:22']);
  expect((await resolve({ host: { host: 'box' }, jump: [{ host: 'gate', user: 'x' }], remotePort })).tunnel.jump).toEqual([jump[0], { ...jump[1], user: 'x' }]);
});

test('AES-GCM comes first where the processor has AES', async () => {
  expect((await resolve({ host: { host: 'box' }, remotePort }, { aes: true })).tunnel.ciphers).toBe('^aes128-gcm@openssh.com,aes256-gcm@openssh.com');
});

test('the scope is that of the one who asks', async () => {
  const root = { ...caller.who, uid: 0 };
  expect((await resolveTunnel({ host: { host: 'box' }, remotePort }, caller.machine, { who: root, aes: false })).tunnel.scope).toBe('system');
});

test('a key to be made lies with the tunnel', async () => {
  const { tunnel } = await resolve({ host: { host: 'box' }, generateKey: true, name: 'home', scope: 'system', remotePort });
  expect(tunnel.identityFile).toBe('/etc/revtun/home/key');
});

test('a key of ssh_config is named the plain way, as systemd wants it', async () => {
  expect((await resolve({ host: { host: 'untidy' }, remotePort })).tunnel.identityFile).toBe(join(caller.who.home, '.ssh/box'));
});

test.each<[string, Draft, object]>([
  ['nothing', {}, { message: expect.stringMatching(/^--host: .*\n--remote-port /s) }],
  ['no forward', { host: { host: 'box' } }, { message: expect.stringMatching(/^--remote-port \(or -R, -L, -D\)/) }],
  ['no host', { remotePort }, { message: expect.stringMatching(/^--host: /) }],
  ['a ProxyCommand', { host: { host: 'commanded' }, remotePort }, { id: 'proxy-command', message: expect.stringContaining('nc %h %p') }],
  ['jump hosts in a circle', { host: { host: 'round' }, remotePort }, { message: expect.stringContaining('lead in a circle') }],
  ['a host that ssh_config spoils', { host: { host: 'strange' }, remotePort }, { message: expect.stringContaining('strange') }],
  ['a key of ssh_config that no unit can name', { host: { host: 'blank' }, remotePort }, { message: expect.stringContaining('my key') }],
])('%s is refused', async (_, draft, fields) => {
  await expect(resolve(draft)).rejects.toThrow(problem(fields));
});

describe('without a key in the home', () => {
  let bare: Caller;
  beforeAll(() => { bare = makeCaller(); });
  afterAll(() => bare.dispose());

  test('one is asked for', async () => {
    await expect(resolveTunnel({ host: { host: 'x' }, remotePort }, bare.machine, { who: bare.who, aes: false })).rejects.toThrow(problem({ hint: expect.stringContaining('--generate-key') }));
  });

  test('the one that was made for this tunnel is found again', async () => {
    bare.write('.config/revtun/x/key', 'key');
    const { tunnel } = await resolveTunnel({ host: { host: 'x' }, remotePort }, bare.machine, { who: bare.who, aes: false });
    expect(tunnel.identityFile).toBe(join(bare.who.home, '.config/revtun/x/key'));
  });
});

test('without an ssh, what is said is taken as it is', async () => {
  const machine = { ...caller.machine, run: async () => ({ code: 127, stdout: '', stderr: '', timedOut: false, stopped: false }) };
  const { tunnel } = await resolveTunnel({ host: { host: 'box' }, key: '/k', remotePort }, machine, { who: caller.who, aes: false });
  expect(tunnel).toMatchObject({ host: 'box', user: 'ann', port: 22 });
});
