import { SERVER } from '../../src/server/places.ts';
import type { Host } from '../lab/host.ts';

/** What a device may have on a server. */
export interface DeviceAccount {
  /** The account's name: `revtun-NAME`. */
  readonly user: string;
  readonly uid: number;
  readonly port: number;
  /** As in its .pub file. */
  readonly publicKey: string;
}

const SCRIPT = SERVER.script;

// Whatever it is called with, it says hello or ends this account's other sessions; sshd itself asks it for keys.
const script = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
if [ "$1" = admit ]; then exec cat "/etc/ssh/revtun/$2"; fi
if [ "$SSH_ORIGINAL_COMMAND" = hello ]; then echo 'revtun-device 1'; exit 0; fi
ended=0
for process in /proc/[0-9]*; do
  pid=\${process#/proc/}
  [ -O "$process" ] && [ "$pid" != "$PPID" ] && [ "$pid" != "$$" ] || continue
  { read -r command < "$process/comm"; } 2>/dev/null || continue
  case $command in sshd|sshd-session) kill -KILL "$pid" 2>/dev/null && ended=$((ended + 1));; esac
done
echo "released $ended"
`;

const dropIn = `Match User revtun-*
    AuthenticationMethods publickey
    AuthorizedKeysFile none
    AuthorizedKeysCommand ${SCRIPT} admit %U
    AuthorizedKeysCommandUser ${SERVER.keysUser}
    AllowStreamLocalForwarding no
    PermitTTY no
    PermitUserRC no
    GatewayPorts no
    MaxSessions 1
    ForceCommand ${SCRIPT}
    ClientAliveInterval 10
    ClientAliveCountMax 3
Match all
`;

/** Makes a server's end by hand: the script and sshd's drop-in. Accounts come on top. */
export async function makeServerEnd(server: Host): Promise<void> {
  await server.succeed(['groupadd', '--system', 'revtun-devices']);
  await server.succeed(['useradd', '--system', '--shell', '/usr/sbin/nologin', SERVER.keysUser]);
  await server.writeFile(SCRIPT, script, { mode: 0o755 });
  await server.succeed(['install', '-d', '-m', '755', '/etc/ssh/revtun']);
  await server.writeFile('/etc/ssh/sshd_config.d/00-revtun.conf', dropIn);
  await server.succeed(['sshd', '-t']);
  await server.succeed(['systemctl', 'reload', 'ssh.service']);
}

/** Adds an account that may hold one port of the server's loopback, and prove that it does. */
export async function addDevice(server: Host, device: DeviceAccount): Promise<void> {
  await server.succeed([
    'useradd', '--system', '--uid', String(device.uid), '--gid', 'revtun-devices', '--no-create-home', '--home-dir', '/',
    '--shell', SCRIPT, '--password', '*', device.user,
  ]);
  await authorizeDevice(server, device);
}

/** Puts the device's key back, or there for the first time. */
export async function authorizeDevice(server: Host, { uid, port, publicKey }: DeviceAccount): Promise<void> {
  const listener = `127.0.0.1:${port}`;
  await server.writeFile(`/etc/ssh/revtun/${uid}`, `restrict,port-forwarding,permitlisten="${listener}",permitopen="${listener}" ${publicKey.trim()}\n`);
}

/** Takes the device's key away; a session that it has goes on. */
export async function revokeDevice(server: Host, { uid }: DeviceAccount): Promise<void> {
  await server.succeed(['rm', `/etc/ssh/revtun/${uid}`]);
}
