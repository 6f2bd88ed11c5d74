import { deviceScript, sessionDropIn, sshdConfig } from '../../src/server/content.ts';
import { accountOf, type Device, keyFileOf, parsePublicKey, renderKeyFile } from '../../src/server/device.ts';
import { SERVER } from '../../src/server/places.ts';
import { DEVICE_COMMENT } from '../../src/server/state.ts';
import type { Host } from '../lab/host.ts';

/** What a device may have on a server. */
export type DeviceAccount = Omit<Device, 'bind'>;

/**
 * Places the server's end file by file, for tests and measurements of what devices meet there; that `server setup`
 * places the same is for others to show. Accounts come on top.
 */
export async function makeServerEnd(server: Host): Promise<void> {
  const known = new Set((await server.succeed(['sshd', '-T'])).split('\n').map((line) => line.split(' ')[0]!.toLowerCase()));
  await server.succeed(['groupadd', '--system', SERVER.group]);
  await server.succeed(['useradd', '--system', '--shell', '/usr/sbin/nologin', SERVER.keysUser]);
  await server.writeFile(SERVER.script, deviceScript(), { mode: 0o755 });
  await server.succeed(['install', '-d', '-m', '755', SERVER.keys]);
  await server.writeFile(SERVER.session, sessionDropIn());
  await server.writeFile(SERVER.dropIn, sshdConfig(known));
  await server.succeed(['sshd', '-t']);
  await server.succeed(['systemctl', 'daemon-reload']);
  await server.succeed(['systemctl', 'reload', 'ssh.service']);
}

/** Adds an account that may hold one port of the server's loopback, and prove that it does. */
export async function addDevice(server: Host, device: DeviceAccount): Promise<void> {
  await server.succeed([
    'useradd', '--system', '--uid', String(device.uid), '--gid', SERVER.group, '--no-create-home', '--home-dir', '/',
    '--shell', SERVER.script, '--password', '*', '--comment', DEVICE_COMMENT, accountOf(device.name),
  ]);
  await authorizeDevice(server, device);
}

/** Puts the device's key back, or there for the first time. */
export async function authorizeDevice(server: Host, device: DeviceAccount): Promise<void> {
  await server.writeFile(keyFileOf(device.uid), renderKeyFile({ ...device, bind: '127.0.0.1', publicKey: parsePublicKey(device.publicKey) }));
}

/** Takes the device's key away; a session that it has goes on. */
export async function revokeDevice(server: Host, { uid }: Pick<DeviceAccount, 'uid'>): Promise<void> {
  await server.succeed(['rm', keyFileOf(uid)]);
}
