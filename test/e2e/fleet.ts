import { appendFileSync, chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { accountOf, type Device, keyFileOf, renderKeyFile } from '../../src/server/device.ts';
import { forwards } from '../tunnel/example.ts';
import { fromSettings, type Tunnel } from '../../src/tunnel/tunnel.ts';
import { placesOf } from '../../src/unit/places.ts';
import { hostKeyLines, renderFiles } from '../../src/unit/render.ts';
import type { Host } from '../lab/host.ts';
import { waitFor } from '../lab/waitFor.ts';
import { recordOf } from '../unit/record.ts';
import { CLI } from './world.ts';

/** Where whoever adds devices has their keys. */
const KEYS = '/root/keys';

export const keyOf = (name: string) => `${KEYS}/${name}`;

/** What `server add --json` prints of a device. */
export interface Added {
  readonly ok: boolean;
  readonly device: string;
  readonly remotePort: number;
  readonly install: readonly string[];
}

/** Makes a key for each, and returns its public half by name. */
export async function makeKeys(host: Host, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const script = 'mkdir -p "$0" && for name; do ssh-keygen -q -t ed25519 -N "" -C "$name" -f "$0/$name" || exit; cat "$0/$name.pub"; done';
  const lines = (await host.succeed(['sh', '-c', script, KEYS, ...names], { timeoutMs: 120_000 })).trim().split('\n');
  return new Map(lines.map((line, at) => [names[at]!, line]));
}

/** Adds devices as an administrator would: a loop of the command, several at a time. Rejects unless all are added. */
export async function addByCommand(admin: Host, destination: string, names: readonly string[], atOnce: number): Promise<Added[]> {
  const each = 'exec "$1" "$2" server add "$4" --key "$0/$4.pub" "$3" --json >"$0/$4.json"';
  const argv = ['xargs', '-P', String(atOnce), '-I', '{}', 'sh', '-c', each, KEYS, process.execPath, CLI, destination, '{}'];
  await admin.succeed(argv, { input: names.map((name) => `${name}\n`).join(''), timeoutMs: 600_000 });
  const printed = await admin.succeed(['sh', '-c', 'for name; do cat "$0/$name.json"; done', KEYS, ...names]);
  return printed.trim().split('\n').map((line) => JSON.parse(line) as Added);
}

/**
 * Puts devices into a server's files as the command does that added another one there: it would take half a second for
 * each, and hours for thousands.
 */
export function placeDevices(server: Host, like: string, devices: readonly Device[]): void {
  for (const [file, withUid] of [['passwd', true], ['shadow', false]] as const) {
    const path = server.rootPath(`/etc/${file}`);
    const model = readFileSync(path, 'utf8').split('\n').find((line) => line.startsWith(`${accountOf(like)}:`))?.split(':');
    if (!model) throw new Error(`${accountOf(like)} is not in /etc/${file}`);
    appendFileSync(path, devices.map(({ name, uid }) => `${[accountOf(name), model[1], withUid ? uid : model[2], ...model.slice(3)].join(':')}\n`).join(''));
  }
  for (const device of devices) write(server, keyFileOf(device.uid), renderKeyFile(device), 0o644);
}

/** The tunnel that an installed unit is of. */
export async function installedTunnel(host: Host, name: string): Promise<Tunnel> {
  return fromSettings(name, 'system', recordOf(await host.readFile(placesOf('system', name, '/root').unitFile)));
}

/**
 * For every service whose name begins with revtun- (systemd.unit(5)): no mount namespaces. systemd remounts for each what
 * all others have mounted, which takes two hundred on one machine longer than a start may take, and one no time at all.
 */
const WITHOUT_MOUNTS = `[Service]
ProtectSystem=no
ProtectHome=no
ProtectProc=default
ProcSubset=all
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
ProtectControlGroups=no
PrivateTmp=no
PrivateDevices=no
PrivateMounts=no
`;

/** Gives a host the units of devices, as `install` has made that of the model on the same host; they are not started. */
export async function placeUnits(host: Host, model: Tunnel, devices: readonly Pick<Device, 'name' | 'port'>[]): Promise<void> {
  const pinned = hostKeyLines(await host.readFile(placesOf('system', model.name, '/root').knownHosts)).map((line) => `${line}\n`).join('');
  for (const { name, port } of devices) {
    const tunnel: Tunnel = { ...model, name, user: accountOf(name), identityFile: keyOf(name), forwards: forwards(`-R 127.0.0.1:${port}:localhost:22`) };
    const places = placesOf('system', name, '/root');
    for (const { path, content, mode } of renderFiles(tunnel, places, pinned, { lingering: false, namespaces: true })) write(host, path, content, mode);
    const wants = host.rootPath(`/etc/systemd/system/multi-user.target.wants/${places.unit}`);
    symlinkSync(places.unitFile, wants);
  }
  write(host, '/etc/systemd/system/revtun-.service.d/fleet.conf', WITHOUT_MOUNTS, 0o644);
  await host.succeed(['systemctl', 'daemon-reload'], { timeoutMs: 60_000 });
}

function write(host: Host, path: string, content: string, mode: number): void {
  const there = host.rootPath(path);
  mkdirSync(dirname(there), { recursive: true });
  writeFileSync(there, content);
  chmodSync(there, mode);
}

/** Starts all units that {@link placeUnits} placed and that do not run, at once: as if all those devices got power again. */
export async function startAll(host: Host): Promise<void> {
  await host.succeed(['systemctl', 'start', '--no-block', 'multi-user.target'], { timeoutMs: 60_000 });
}

/** The main process of each device's unit, in the order of the names: another one after a restart. */
export async function mainProcesses(host: Host, names: readonly string[]): Promise<string[]> {
  const shown = await host.succeed(['systemctl', 'show', '--property=MainPID', '--value', ...names.map((name) => `revtun-${name}.service`)]);
  return shown.split('\n').filter(Boolean);
}

/** Ports of the server's loopback that accounts of devices hold, each with the account's uid. */
export async function heldPorts(server: Host): Promise<ReadonlyMap<number, number>> {
  const table = await server.succeed(['awk', '$4 == "0A" && $8 > 65535 { print $2, $8 }', '/proc/net/tcp']);
  return new Map(table.split('\n').filter(Boolean).map((line) => {
    const [address, uid] = line.split(' ') as [string, string];
    return [Number.parseInt(address.split(':')[1]!, 16), Number(uid)];
  }));
}

/** One of the devices that `server list --json` tells of. */
export interface Listed {
  readonly name: string;
  readonly port: number;
  readonly connected: boolean;
  readonly since: string | null;
  readonly from: string | null;
}

/** What `server list` says of all devices, by name. */
export function parseList(stdout: string): ReadonlyMap<string, Listed> {
  return new Map((JSON.parse(stdout) as { devices: Listed[] }).devices.map((device) => [device.name, device]));
}

/** The uids of the accounts that devices have on a server, by the devices' names. */
export async function uidsOf(server: Host): Promise<ReadonlyMap<string, number>> {
  const table = await server.succeed(['awk', '-F:', '$1 ~ /^revtun-/ && $3 > 65535 { print substr($1, 8), $3 }', '/etc/passwd']);
  return new Map(table.trim().split('\n').map((line) => line.split(' ') as [string, string]).map(([name, uid]) => [name, Number(uid)]));
}

/** Milliseconds until so many devices hold a port. */
export async function untilHeld(server: Host, count: number, timeoutMs: number): Promise<number> {
  const begin = performance.now();
  let held = 0;
  try {
    await waitFor(async () => (held = (await heldPorts(server)).size) === count, { timeoutMs, everyMs: 200 });
  } catch (error) {
    throw new Error(`only ${held} of ${count} devices hold a port after ${timeoutMs} ms`, { cause: error });
  }
  return performance.now() - begin;
}

/** Ends every session of a device on the server, from one moment to the next. */
export async function endAllSessions(server: Host): Promise<void> {
  await server.run(['sh', '-c', 'kill -KILL $(find /proc -maxdepth 1 -name "[1-9]*" -uid +65535 -uid -100000 -printf "%f ")']);
}
