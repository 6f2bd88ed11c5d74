import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { waitFor } from '../lab/waitFor.ts';
import {
  addByCommand, type Added, endAllSessions, heldPorts, installedTunnel, mainProcesses, makeKeys, parseList, placeDevices,
  placeUnits, startAll, uidsOf, untilHeld,
} from './fleet.ts';
import { makeWorld, type World } from './world.ts';

/*
 * Many devices at one server, each with a unit of its own; the units are all on one host, where a real device has one. For
 * that host alone their mount namespaces are left out (see placeUnits); all else is as `install` makes it. The bench does
 * the same with 200 devices, and measures.
 */

const DEST = 'pi@server.test';
const NAMES = Array.from({ length: 50 }, (_, at) => `cam${String(at).padStart(2, '0')}`);
/** The rest is put into the server's files, as the command does it. */
const BY_COMMAND = NAMES.slice(0, 8);

let world: World<never>;
let added: readonly Added[];
let keys: ReadonlyMap<string, string>;
/** Where all of them come from, as the server sees it. */
let address: string;
/** The port of each device. */
let ports: ReadonlyMap<string, number>;

beforeAll(async () => {
  world = await makeWorld();
  const { device, server, revtun } = world;
  await device.writeFile('/root/.ssh/known_hosts', await server.knownHostsLine());
  address = (await device.succeed(['ssh', DEST, 'echo ${SSH_CONNECTION%% *}'])).trim();
  keys = await makeKeys(device, NAMES);
  const { code, stderr } = await revtun(['server', 'setup', DEST, '--json']);
  if (code !== 0) throw new Error(stderr);
}, 60_000);
afterAll(() => world?.dispose());

const list = async () => {
  const { code, stdout, stderr } = await world.revtun(['server', 'list', DEST, '--json']);
  if (code !== 0) throw new Error(stdout + stderr);
  return parseList(stdout);
};
const unitOf = (name: string) => `revtun-${name}.service`;
const statesOf = async (names: readonly string[]) => {
  const shown = await world.device.succeed(['systemctl', 'show', '--property=ActiveState', '--value', ...names.map(unitOf)]);
  return shown.split('\n').filter(Boolean);
};
const allActive = (names: readonly string[]) => waitFor(async () => (await statesOf(names)).every((state) => state === 'active'), { what: 'active units' });

/** Every device holds its own port by its own account, and the list says so. */
async function expectAllRight(names: readonly string[]): Promise<void> {
  const [held, uids, listed] = [await heldPorts(world.server), await uidsOf(world.server), await list()];
  expect(held).toEqual(new Map(names.map((name) => [ports.get(name), uids.get(name)])));
  expect([...listed.keys()]).toEqual(names);
  for (const name of names) {
    expect(listed.get(name)).toMatchObject({ name, port: ports.get(name), bind: '127.0.0.1', connected: true, from: address });
    expect(Date.parse(listed.get(name)!.since!)).toBeLessThanOrEqual(Date.now() + 1000);
  }
}

describe('fifty devices', () => {
  test('are added several at once, with no port and no account alike', async () => {
    added = await addByCommand(world.device, DEST, BY_COMMAND, 4);
    expect(added.map(({ device, ok }) => [device, ok])).toEqual(BY_COMMAND.map((name) => [name, true]));
    const uids = await uidsOf(world.server);
    expect([...uids.keys()].toSorted()).toEqual(BY_COMMAND);
    expect(new Set(uids.values()).size).toBe(BY_COMMAND.length);
    expect(new Set(added.map(({ remotePort }) => remotePort)).size).toBe(BY_COMMAND.length);
    const listed = await list();
    expect(BY_COMMAND.map((name) => listed.get(name))).toEqual(added.map(({ device, remotePort }) => (
      { name: device, port: remotePort, bind: '127.0.0.1', connected: false, since: null, from: null }
    )));
  });

  test('are all up after they were started at once, each with its own port', async () => {
    const { device, server, revtun } = world;
    const [first, ...others] = added;
    const { code, stderr } = await revtun([...first!.install.slice(1), '--name', first!.device]);
    expect([code, stderr]).toEqual([0, '']);
    const placed = NAMES.slice(BY_COMMAND.length).map((name, at) => (
      { name, uid: 66_000 + at, port: 21_000 + at, bind: '127.0.0.1', publicKey: keys.get(name)! }
    ));
    placeDevices(server, first!.device, placed);
    const rest = [...others.map(({ device: name, remotePort: port }) => ({ name, port })), ...placed];
    await placeUnits(device, await installedTunnel(device, first!.device), rest);
    await device.succeed(['systemctl', 'stop', unitOf(first!.device)]);
    await untilHeld(server, 0, 10_000);
    ports = new Map([[first!.device, first!.remotePort], ...rest.map(({ name, port }) => [name, port] as const)]);
    expect(new Set(ports.values()).size).toBe(NAMES.length);

    await startAll(device);
    await untilHeld(server, NAMES.length, 90_000);
    await allActive(NAMES);
    await expectAllRight(NAMES);
  }, 120_000);

  test('are all back after all their sessions were killed at once', async () => {
    const before = await mainProcesses(world.device, NAMES);
    await endAllSessions(world.server);
    await untilHeld(world.server, NAMES.length, 90_000);
    await allActive(NAMES);
    await expectAllRight(NAMES);
    const after = await mainProcesses(world.device, NAMES);
    expect(after).toHaveLength(NAMES.length);
    expect(after.filter((process, at) => process === before[at])).toEqual([]);
  }, 120_000);

  test('lose none but the one that is removed', async () => {
    const [gone, stay] = [NAMES[20]!, NAMES.filter((_, at) => at !== 20)];
    const [uid, before] = [(await uidsOf(world.server)).get(gone)!, await mainProcesses(world.device, stay)];
    const { code, stdout } = await world.revtun(['server', 'remove', gone, DEST, '--json']);
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ ok: true, changed: true })]);
    // Its exit code is of no matter: any other process may end while it looks.
    const processes = await world.server.run(['find', '/proc', '-maxdepth', '1', '-name', '[1-9]*', '-uid', String(uid)]);
    expect(processes.stdout).toBe('');
    await expectAllRight(stay);
    expect(await mainProcesses(world.device, stay)).toEqual(before);
    expect(before).toHaveLength(stay.length);
    await allActive(stay);
    await waitFor(async () => (await statesOf([gone]))[0] !== 'active', { what: 'the end of its unit' });
  }, 60_000);
});
