import { copyFileSync } from 'node:fs';
import type { Device } from '../../src/server/device.ts';
import { SERVER } from '../../src/server/places.ts';
import {
  addByCommand, endAllSessions, heldPorts, installedTunnel, type Listed, mainProcesses, makeKeys, parseList, placeDevices, placeUnits, startAll,
  uidsOf, untilHeld,
} from '../e2e/fleet.ts';
import { CLI, makeWorld, type World } from '../e2e/world.ts';
import type { Host } from '../lab/host.ts';
import { waitFor } from '../lab/waitFor.ts';
import { type Measurer, startMeasurer } from './measurer.ts';
import { compare, kb, ms, type Result } from './result.ts';
import { interleave, median, type Series } from './series.ts';

const DEST = 'pi@server.test';
/** Devices with a unit that runs, and those of which there are accounts in the end. */
const [CONNECTED, ACCOUNTS] = [200, 10_000];
/** Of the first: added one after the other (and before these the one that the others are made like), and several at once. */
const [ALONE, IN_LOOP, AT_ONCE] = [5, 16, 4];
/** To be added when there are all those accounts. */
const LATE = ['late1', 'late2', 'late3'];
const LOGIN_ROUNDS = 24;
/** How many are looked at for what a user manager costs. */
const WITH_MANAGER = 5;

/** The lab of this part. */
interface Fleet {
  readonly world: World<never>;
  readonly clock: Measurer;
  readonly names: readonly string[];
}

/**
 * Many devices at one server: what they take of it, and what it takes to be their administrator. Their units are all on one
 * host, where real devices have one each; see `placeUnits` for what is left out there, and why.
 * @throws Error when a device does not come up or not by its own port, or the list tells something else
 */
export async function measureFleet(): Promise<Result[]> {
  const world = await makeWorld();
  try {
    const { device, server, revtun } = world;
    await server.succeed(['loginctl', 'enable-linger', 'pi']);
    await device.writeFile('/root/.ssh/known_hosts', await server.knownHostsLine());
    const names = Array.from({ length: CONNECTED }, (_, at) => `cam${String(at).padStart(3, '0')}`);
    const keys = await makeKeys(device, [...names, ...LATE]);
    const setup = await revtun(['server', 'setup', DEST, '--json']);
    if (setup.code !== 0) throw new Error(setup.stdout + setup.stderr);
    const fleet: Fleet = { world, clock: await startMeasurer(device), names };

    const [model] = await addByCommand(device, DEST, names.slice(0, 1), 1);
    saveAccounts(server, 'none');
    const adding = await measureAdding(fleet);
    const known = 1 + ALONE + IN_LOOP;
    placeDevices(server, model!.device, names.slice(known).map((name, at) => placed(name, known + at, keys.get(name)!)));
    saveAccounts(server, 'connected');
    const installed = await revtun([...model!.install.slice(1), '--name', model!.device]);
    if (installed.code !== 0) throw new Error(installed.stdout + installed.stderr);
    await placeUnits(device, await installedTunnel(device, model!.device), await portsOf(fleet, names.slice(1)));
    await device.succeed(['systemctl', 'stop', 'revtun-*']);
    await untilHeld(server, 0, 10_000);

    const coming = await measureComing(fleet);
    const memory = await measureServerMemory(fleet);
    await device.succeed(['systemctl', 'stop', 'revtun-*'], { timeoutMs: 120_000 });
    await untilHeld(server, 0, 60_000);
    placeDevices(server, model!.device, Array.from({ length: ACCOUNTS - CONNECTED }, (_, at) => placed(`far${at}`, CONNECTED + at, madeUpKey(at))));
    saveAccounts(server, 'all');
    return [...coming, ...memory, ...adding, ...(await measureLogin(fleet)), ...(await measureWithAll(fleet))];
  } finally {
    await world.dispose();
  }
}

const seconds = (value: number) => `${(value / 1000).toFixed(1)} s`;
const fact = (what: string, ours: string): Result => ({ what, ours, against: '', ratio: '', aim: '', met: undefined });
const several = (series: Series) => `${ms(median(series))} (least ${ms(Math.min(...series))})`;

/** Far enough from what the command gave to the others. */
const placed = (name: string, at: number, publicKey: string): Device => ({ name, uid: 65_600 + at, port: 20_100 + at, bind: '127.0.0.1', publicKey });

/** A key as ssh-keygen writes it, of which nobody has the private half. */
function madeUpKey(at: number): string {
  const lengthAnd = (bytes: Buffer) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  const point = Buffer.alloc(32);
  point.writeUInt32BE(at + 1);
  return `ssh-ed25519 ${Buffer.concat([lengthAnd(Buffer.from('ssh-ed25519')), lengthAnd(point)]).toString('base64')} made-up`;
}

async function measureAdding({ world, names }: Fleet): Promise<Result[]> {
  const alone: number[] = [];
  for (const name of names.slice(1, 1 + ALONE)) alone.push(await timed(() => addByCommand(world.device, DEST, [name], 1)));
  const loop = names.slice(1 + ALONE, 1 + ALONE + IN_LOOP);
  const all = await timed(() => addByCommand(world.device, DEST, loop, AT_ONCE));
  return [
    fact('fleet: `server add`', several(alone)),
    fact(`fleet: \`server add\` of ${IN_LOOP}, ${AT_ONCE} at once, a device`, ms(all / IN_LOOP)),
  ];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function list({ world }: Fleet): Promise<ReadonlyMap<string, Listed>> {
  const { code, stdout, stderr } = await world.revtun(['server', 'list', DEST, '--json']);
  if (code !== 0) throw new Error(stdout + stderr);
  return parseList(stdout);
}

async function portsOf(fleet: Fleet, names: readonly string[]): Promise<{ name: string; port: number }[]> {
  const listed = await list(fleet);
  return names.map((name) => ({ name, port: listed.get(name)!.port }));
}

async function measureComing(fleet: Fleet): Promise<Result[]> {
  const { device, server } = fleet.world;
  // The clock also runs while systemd reads the job of each.
  const up = await timed(async () => {
    await startAll(device);
    await untilHeld(server, CONNECTED, 150_000);
  });
  await checked(fleet);
  const before = await mainProcesses(device, fleet.names);
  const listing = await measureListing(fleet);
  const back = await timed(async () => {
    await endAllSessions(server);
    await untilHeld(server, CONNECTED, 150_000);
  });
  await checked(fleet);
  const after = await mainProcesses(device, fleet.names);
  const same = fleet.names.filter((_, at) => after[at] === before[at]);
  if (same.length > 0) throw new Error(`sessions that were to be ended were not: ${same.join(', ')}`);
  return [
    fact(`fleet: ${CONNECTED} devices, started at once, until all are up`, seconds(up)),
    fact(`fleet: their sessions killed at once, until all are back`, seconds(back)),
    fact(`fleet: \`server list\` with ${CONNECTED} connected`, listing),
  ];
}

/** @throws Error unless each device is up by its own port, and listed so */
async function checked(fleet: Fleet): Promise<void> {
  const { device, server } = fleet.world;
  await waitFor(async () => (await activeUnits(device)) === CONNECTED, { what: `${CONNECTED} active units` });
  const [held, uids, listed] = [await heldPorts(server), await uidsOf(server), await list(fleet)];
  const ports = new Set([...listed.values()].map(({ port }) => port));
  if (listed.size !== CONNECTED || ports.size !== CONNECTED) throw new Error(`${listed.size} devices are listed, with ${ports.size} ports`);
  for (const name of fleet.names) {
    const found = listed.get(name);
    if (!found?.connected || !found.from || !found.since) throw new Error(`${name} is up, but not listed so: ${JSON.stringify(found)}`);
    if (held.get(found.port) !== uids.get(name)) throw new Error(`port ${found.port} of ${name} is held by uid ${held.get(found.port)}, not ${uids.get(name)}`);
  }
}

async function activeUnits(device: Host): Promise<number> {
  return (await device.succeed(['systemctl', 'show', '--property=ActiveState', '--value', 'revtun-*.service'])).split('\n').filter((state) => state === 'active').length;
}

async function measureListing({ clock }: Pick<Fleet, 'clock'>, rounds = 5): Promise<string> {
  const { list: times } = await interleave(rounds, { list: () => lasting(clock, [process.execPath, CLI, 'server', 'list', DEST, '--json']) });
  return several(times);
}

async function lasting(clock: Measurer, argv: readonly string[]): Promise<number> {
  const { started, ended } = await clock.call('time', argv);
  return ended - started;
}

/** Memory on the server of all that runs for devices: sshd's two processes of each, and a user manager where there is one. */
async function measureServerMemory(fleet: Fleet): Promise<Result[]> {
  const { device, server } = fleet.world;
  const uids = await uidsOf(server);
  const all = await memoryOf(server, [...uids.values()]);
  const some = fleet.names.slice(0, WITH_MANAGER);
  const uidsOfSome = some.map((name) => uids.get(name)!);
  const without = await memoryOf(server, uidsOfSome);
  const units = some.map((name) => `revtun-${name}.service`);
  await device.succeed(['systemctl', 'stop', ...units]);
  await untilHeld(server, CONNECTED - WITH_MANAGER, 20_000);
  await server.succeed(['mv', SERVER.session, '/root/session']);
  await server.succeed(['systemctl', 'daemon-reload']);
  await device.succeed(['systemctl', 'start', ...units], { timeoutMs: 60_000 });
  await untilHeld(server, CONNECTED, 60_000);
  const managed = await memoryOf(server, uidsOfSome);
  await server.succeed(['mv', '/root/session', SERVER.session]);
  await server.succeed(['systemctl', 'daemon-reload']);
  if (managed.processes <= without.processes) throw new Error('no user manager came with a login, though nothing forbade it');
  const each = ({ bytes, processes }: Memory, devices: number) => `${kb(bytes / devices)} (${processes / devices} processes)`;
  return [
    fact(`fleet: memory (PSS) on the server, a device, with ${CONNECTED} connected`, each(all, CONNECTED)),
    {
      ...fact('fleet: the same of a few : without the drop-in for `user@.service`', each(without, WITH_MANAGER)),
      against: each(managed, WITH_MANAGER),
      ratio: `${(without.bytes / managed.bytes).toFixed(2)}×`,
    },
  ];
}

interface Memory {
  readonly bytes: number;
  readonly processes: number;
}

const PSS_OF_EACH = `for pid; do awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup"; done 2>/dev/null || true`;

/** Of all processes of accounts, and of sshd's own for each login, which is root's. */
async function memoryOf(server: Host, accounts: readonly number[]): Promise<Memory> {
  const table = (await server.succeed(['ps', '-e', '-o', 'pid=,ppid=,uid=,comm='])).trim().split('\n').map((line) => line.trim().split(/\s+/));
  const processes = table.map(([pid, parent, uid, command]) => ({ pid: pid!, parent: parent!, uid: Number(uid), command: command! }));
  const uids = new Set(accounts);
  const theirs = processes.filter(({ uid }) => uids.has(uid));
  const parents = new Set(theirs.map(({ parent }) => parent));
  const monitors = processes.filter(({ pid, uid, command }) => uid === 0 && command.startsWith('sshd') && parents.has(pid));
  const printed = await server.succeed(['sh', '-c', PSS_OF_EACH, 'sh', ...[...theirs, ...monitors].map(({ pid }) => pid)], { timeoutMs: 60_000 });
  const kibibytes = printed.trim().split('\n').map(Number);
  if (kibibytes.length < 2 * accounts.length) throw new Error(`${accounts.length} logins have but ${kibibytes.length} processes`);
  return { bytes: kibibytes.reduce((sum, each) => sum + each, 0) * 1024, processes: kibibytes.length };
}

const ACCOUNT_FILES = ['passwd', 'shadow'];

function saveAccounts(server: Host, as: string): void {
  for (const file of ACCOUNT_FILES) copyFileSync(server.rootPath(`/etc/${file}`), server.rootPath(`/root/${file}.${as}`));
}

// These files are read from their beginning up to the account that is looked for.
const USE_ACCOUNTS = `
for file in passwd shadow; do
  { grep -v "^$2:" "/root/$file.$1"; grep "^$2:" "/root/$file.$1"; } >"/etc/$file.new" && mv "/etc/$file.new" "/etc/$file" || exit
done
`;

/** Gives a server the accounts that were saved, with that of a device as the last of them: none has a longer way. */
async function useAccounts(server: Host, saved: string, last: string): Promise<void> {
  await server.succeed(['sh', '-c', `umask 077; ${USE_ACCOUNTS} chmod 644 /etc/passwd`, 'sh', saved, `revtun-${last}`]);
}

/** A device's login, from its start to its end, with so many other devices' accounts; their key files lie there all the time. */
async function measureLogin({ world, clock, names }: Fleet): Promise<Result[]> {
  const [{ server }, name] = [world, names[0]!];
  const login = ['ssh', '-F', 'none', '-o', 'BatchMode=yes', '-i', `/root/keys/${name}`, '--', `revtun-${name}@server.test`, 'hello'];
  const loginWith = async (accounts: string) => {
    await useAccounts(server, accounts, name);
    return lasting(clock, login);
  };
  for (const [accounts, expected] of [['none', 1], ['connected', CONNECTED], ['all', ACCOUNTS]] as const) {
    await useAccounts(server, accounts, name);
    const { size } = await uidsOf(server);
    if (size !== expected) throw new Error(`${size} accounts where there were to be ${expected}`);
  }
  const found = await interleave(LOGIN_ROUNDS, { none: () => loginWith('none'), connected: () => loginWith('connected'), all: () => loginWith('all') });
  await useAccounts(server, 'all', name);
  const rows = [[CONNECTED, found.connected], [ACCOUNTS, found.all]] as const;
  return rows.map(([accounts, ours]) => compare({
    what: `fleet: login of the last of ${accounts} accounts : of the only one`,
    ours,
    against: found.none,
    show: ms,
    best: 'least',
    aim: { bound: 'at most', ratio: 1.1 },
  }));
}

async function measureWithAll(fleet: Fleet): Promise<Result[]> {
  const listed = (await list(fleet)).size;
  if (listed !== ACCOUNTS) throw new Error(`${listed} of ${ACCOUNTS} devices are listed`);
  const listing = await measureListing(fleet, 3);
  const adding: number[] = [];
  for (const name of LATE) adding.push(await timed(() => addByCommand(fleet.world.device, DEST, [name], 1)));
  return [
    fact(`fleet: \`server list\` with ${ACCOUNTS} devices`, listing),
    fact(`fleet: \`server add\` with ${ACCOUNTS} devices`, several(adding)),
  ];
}
