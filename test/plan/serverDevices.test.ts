import { describe, expect, test } from '@jest/globals';
import { DEVICE_PORTS, type DeviceWish, planServerAdd, planServerRemove, planServerRemoveAll, requireSetUp } from '../../src/plan/serverDevices.ts';
import { planServerSetup } from '../../src/plan/serverSetup.ts';
import { type Step, titleOf } from '../../src/plan/step.ts';
import { DEVICE_UIDS, type ServerState } from '../../src/server/state.ts';
import { account, after, bareServer, directory, file } from './serverModel.ts';

const ready = after(bareServer, planServerSetup(bareServer));
const keyOf = (seed: number) => {
  const blob = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, seed)]);
  return `ssh-ed25519 ${blob.toString('base64')} key${seed}`;
};
const wishOf = (name: string, seed: number, more: Partial<DeviceWish> = {}): DeviceWish => ({ name, publicKey: keyOf(seed), ...more });
const add = (state: ServerState, wish: DeviceWish) => after(state, planServerAdd(state, wish).steps);
const titles = (steps: readonly Step[]) => steps.map(titleOf);
const listening = (port: number, uid = 0): ServerState => ({ ...ready, listeners: [...ready.listeners, { address: '127.0.0.1', port, uid }] });
const two = add(add(ready, wishOf('a', 1)), wishOf('b', 2));

describe('add', () => {
  test('makes an account, and then what admits it', () => {
    const { device, steps } = planServerAdd(ready, wishOf('cam1', 1));
    expect(device).toEqual({ name: 'cam1', uid: 65_536, port: 20_000, bind: '127.0.0.1', publicKey: keyOf(1) });
    expect(titles(steps)).toEqual([
      "make the account: useradd --system --uid 65536 --gid revtun-devices --no-create-home --home-dir / --shell /etc/ssh/revtun-device --password '*' --comment 'revtun-setup device' revtun-cam1",
      'write /etc/ssh/revtun/65536',
    ]);
    expect(steps[0]).toMatchObject({ undo: expect.arrayContaining([expect.stringMatching(/kill -KILL.*exec userdel/), 'revtun-cam1']) });
    expect(steps[1]).toMatchObject({ mode: 0o644, content: expect.stringMatching(/\nrestrict,port-forwarding,permitlisten="127\.0\.0\.1:20000",permitopen="127\.0\.0\.1:20000" ssh-ed25519 /) });
  });

  test('the same again is nothing, whatever of it is said', () => {
    for (const more of [{}, { port: 20_000 }, { bind: '127.0.0.1' }, { publicKey: keyOf(1).replace('key1', 'another comment') }]) {
      expect(planServerAdd(two, wishOf('a', 1, more))).toMatchObject({ steps: [], device: { port: 20_000, uid: 65_536 } });
    }
  });

  test('each has a uid and a port of its own', () => {
    expect(two.devices.map(({ name, uid, port }) => [name, uid, port])).toEqual([['a', 65_536, 20_000], ['b', 65_537, 20_001]]);
  });

  test('no port that listens, no uid with an account, a key file or a process', () => {
    const state = { ...listening(20_000), takenUids: new Set([65_536]), keyFiles: new Map([['65537', file('x')]]), processes: new Map([[65_538, 1]]) };
    expect(planServerAdd(state, wishOf('a', 1)).device).toMatchObject({ port: 20_001, uid: 65_539 });
  });

  test('ports stay below those of outgoing connections', () => {
    const taken = Array.from({ length: 5000 }, (_, at) => ({ address: '127.0.0.1', port: 20_000 + at, uid: 0 }));
    expect(() => planServerAdd({ ...ready, listeners: taken, firstEphemeralPort: 25_000 }, wishOf('a', 1))).toThrow(expect.objectContaining({ id: 'no-port-left' }));
    expect(planServerAdd({ ...ready, listeners: taken, firstEphemeralPort: 1024 }, wishOf('a', 1)).device.port).toBe(25_000);
    expect(DEVICE_PORTS.last).toBeLessThan(32_768);
  });

  test('uids end where the next range begins', () => {
    const all = new Set(Array.from({ length: 34_464 }, (_, at) => DEVICE_UIDS.first + at));
    expect(() => planServerAdd({ ...ready, takenUids: all }, wishOf('a', 1))).toThrow(expect.objectContaining({ id: 'no-uid-left' }));
  });

  test.each<[string, ServerState, DeviceWish, string]>([
    ['another key', two, wishOf('a', 3), 'device-exists'],
    ['another port', two, wishOf('a', 1, { port: 20_005 }), 'device-exists'],
    ['another address', two, wishOf('a', 1, { bind: '*', acceptRisk: ['public'] }), 'device-exists'],
    ['a key that another device has', two, wishOf('c', 1), 'key-in-use'],
    ['a port of another device', two, wishOf('c', 3, { port: 20_001 }), 'port-promised'],
    ['a port that something holds', listening(9000), wishOf('c', 3, { port: 9000 }), 'port-taken'],
    ['a port below 1024', ready, wishOf('c', 3, { port: 443 }), 'port-privileged'],
    ['no port in particular', ready, wishOf('c', 3, { port: 0 }), 'usage'],
    ['a port for everyone', ready, wishOf('c', 3, { bind: '0.0.0.0' }), 'risk'],
    ['an account of somebody else', { ...ready, accounts: new Map([['revtun-c', account('revtun-c', 1000, { comment: '' })]]) }, wishOf('c', 3), 'not-ours'],
  ])('%s is refused', (_, state, wish, id) => {
    expect(() => planServerAdd(state, wish)).toThrow(expect.objectContaining({ id, exitCode: 2 }));
  });

  test('a port for everyone has another group', () => {
    const state = add(ready, wishOf('c', 3, { bind: '*', acceptRisk: ['public'] }));
    expect(state.accounts.get('revtun-c')?.gid).toBe(ready.groups.get('revtun-public'));
    expect(state.devices).toEqual([expect.objectContaining({ bind: '*' })]);
  });

  test('what a killed run left is finished, also where the device holds the port itself', () => {
    const [useradd] = planServerAdd(ready, wishOf('a', 1)).steps;
    const half = { ...after(ready, [useradd!]), listeners: [{ address: '127.0.0.1', port: 20_000, uid: 65_536 }] };
    expect(titles(planServerAdd(half, wishOf('a', 1, { port: 20_000 })).steps)).toEqual(['write /etc/ssh/revtun/65536']);
  });

  test('what somebody changed is mended', () => {
    const spoilt: ServerState = {
      ...two,
      accounts: new Map([...two.accounts, ['revtun-a', account('revtun-a', 65_536, { gid: 901, shell: '/bin/sh' })]]),
      keyFiles: new Map([...two.keyFiles, ['65536', { ...two.keyFiles.get('65536')!, mode: 0o664 }]]),
    };
    const { steps } = planServerAdd(spoilt, wishOf('a', 1));
    expect(steps.map((step) => step.kind)).toEqual(['run', 'run', 'write']);
    expect(planServerAdd(after(spoilt, steps), wishOf('a', 1)).steps).toEqual([]);
  });

  test('new files get their labels where SELinux enforces', () => {
    const { steps } = planServerAdd({ ...ready, selinux: { enforcing: true, semanage: true, restorecon: true } }, wishOf('a', 1));
    expect(steps.at(-1)).toMatchObject({ argv: ['restorecon', '-R', '/etc/ssh/revtun/65536'], orElse: expect.any(String) });
  });

  test('needs a server that is set up', () => {
    expect(() => requireSetUp(bareServer, 'pi@tunl')).toThrow(expect.objectContaining({ id: 'server-not-set-up', hint: 'First: revtun-setup server setup pi@tunl' }));
    expect(() => requireSetUp(ready, 'pi@tunl')).not.toThrow();
  });
});

describe('remove', () => {
  test('first the key, then its sessions, then the account', () => {
    const steps = planServerRemove(two, 'a');
    expect(steps.map((step) => (step.kind === 'run' ? step.title : titleOf(step)))).toEqual(['remove /etc/ssh/revtun/65536', 'end the sessions of revtun-a', 'remove the account', 'see that no session of revtun-a is left']);
    expect(steps[2]).toMatchObject({ argv: ['userdel', 'revtun-a'], undo: expect.arrayContaining(['useradd', '65536', 'revtun-a']) });
    expect(after(two, steps).devices.map(({ name }) => name)).toEqual(['b']);
  });

  test('its way back is the account that it was', () => {
    const state = add(ready, wishOf('c', 3, { bind: '*', acceptRisk: ['public'] }));
    const [, , userdel] = planServerRemove(state, 'c');
    expect(userdel).toMatchObject({ undo: expect.arrayContaining(['revtun-public']) });
  });

  test('what is not there is not found, and what is not ours not touched', () => {
    expect(() => planServerRemove(two, 'c')).toThrow(expect.objectContaining({ id: 'no-device', exitCode: 3 }));
    const foreign = { ...two, accounts: new Map([['revtun-a', account('revtun-a', 65_536, { comment: 'Ann' })]]) };
    expect(() => planServerRemove(foreign, 'a')).toThrow(expect.objectContaining({ id: 'not-ours' }));
  });

  test('all of it leaves a server that nobody has touched', () => {
    const back = after(two, planServerRemoveAll(two));
    expect([back.files, back.groups, back.accounts, back.keyFiles]).toEqual([bareServer.files, bareServer.groups, bareServer.accounts, bareServer.keyFiles]);
    expect(planServerRemoveAll(back)).toEqual([]);
  });

  test('all of it takes key files without an account, and leaves what others put there', () => {
    const [orphan] = [two.keyFiles.get('65536')!];
    const state: ServerState = { ...two, keyFiles: new Map([...two.keyFiles, ['70000', orphan], ['notes', file('mine')]]) };
    const back = after(state, planServerRemoveAll(state));
    expect([...back.keyFiles.keys()]).toEqual(['notes']);
    expect(back.files.get('/etc/ssh/revtun')).toEqual(directory());
  });
});
