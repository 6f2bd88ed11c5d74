import { deviceScript, sessionDropIn, sshdConfig } from '../../src/server/content.ts';
import { accountOf, type Device, keyFileOf, parsePublicKey, renderKeyFile } from '../../src/server/device.ts';
import { SERVER } from '../../src/server/places.ts';
import { KEYS_COMMENT, parseSettings } from '../../src/server/state.ts';
import type { Result } from '../lab/child.ts';
import type { Host } from '../lab/host.ts';
import { waitFor } from '../lab/waitFor.ts';

/** An account on a server that lets the stolen key in, and whoever has that key. */
export interface Target {
  readonly server: Host;
  /** Where the stolen key is used: any host would do. */
  readonly attacker: Host;
  readonly account: string;
  /**
   * `device`: ours. `plain`: an ordinary account with the line that guides give. `free`: an ordinary account without
   * limits.
   */
  readonly kind: 'device' | 'plain' | 'free';
  /** The port that this account may listen on. */
  readonly port: number;
  /** The file that lets the key in. */
  readonly keyFile: string;
  /** Free on the attacker's host. */
  readonly localPort: number;
}

export const STOLEN = '/root/stolen';
/** Where attacks leave their marks; everyone may write there. */
export const MARKS = '/run/attack';

export const DEVICE = { name: 'victim', uid: 65_536, port: 22_200, bind: '127.0.0.1' } as const;
export const OTHER = { name: 'other', uid: 65_537, port: 22_201, bind: '127.0.0.1' } as const;

/** A password that nobody has, for the one row that gives it to an account; as `openssl passwd -6` writes it. */
export const PASSWORD = { text: 'hunter2', hash: '$6$wK1hRDk4B9Nf1WhE$dER08.3nU.abDBYHeGk3s9a/A4y0s3uYjrDnm/J24CgwAmUA3ZPBs0SA6cLeVHRZUSLbS5uk43EHBL4nAOeDu/' };

/** Which server it is is not the question here. */
export const CLIENT = ['-F', 'none', '-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'];
export const withStolenKey = [...CLIENT, '-o', 'BatchMode=yes', '-i', STOLEN];

export const destinationOf = ({ server, account }: Pick<Target, 'server' | 'account'>) => `${account}@${server.address}`;

/** One ssh to the target, to its end; a connection that stays open is ended after four seconds. */
export function ssh(at: Target, args: readonly string[], command: readonly string[] = [], options: { input?: string; env?: Record<string, string> } = {}): Promise<Result> {
  return at.attacker.run(['timeout', '-k', '1', '4', 'ssh', ...withStolenKey, ...args, '--', destinationOf(at), ...command], options);
}

/** Holds a connection without a session open while `look` looks; its forwards are answered, and a refusal does not end it. */
export async function whileConnected<T>(at: Target, args: readonly string[], look: () => Promise<T>): Promise<T> {
  const running = at.attacker.spawn(['ssh', '-v', ...withStolenKey, '-N', ...args, '--', destinationOf(at)]);
  let said = '';
  running.child.stderr?.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  let ended = false;
  void running.exited.then(() => { ended = true; });
  const answers = { '-R': /remote forward (success|failure) for/, '-w': /tunnel forward (established|failed)/ };
  const ready = answers[args[0] as keyof typeof answers] ?? /Entering interactive session/;
  try {
    await waitFor(() => ended || ready.test(said), { everyMs: 20, what: `an answer to ssh ${args.join(' ')}` });
    return await look();
  } finally {
    running.signal('SIGKILL');
    await running.exited;
  }
}

export const exists = async (host: Host, path: string) => (await host.run(['test', '-e', path])).code === 0;

/** A path on the server that an attack can make, and that is not there now. */
export async function freshMark(at: Target, name: string): Promise<string> {
  const path = `${MARKS}/${name}-${at.kind}`;
  await at.server.succeed(['rm', '-rf', path]);
  return path;
}

const REAL_SCRIPT = `${SERVER.script}.real`;

/** Takes the script's place: it writes down with what environment sshd calls it, and stays a while. */
const spyScript = (note: string) => `#!/bin/sh
if [ "$1" != admit ]; then
  ${note}
fi
exec ${REAL_SCRIPT} "$@"
`;

/**
 * The environments of the sessions that an attack got on the target, each of which lasts some seconds longer.
 * Ordinary accounts write them down when they run `command`; ours run a script whatever they are told.
 */
export async function sessionsOf(at: Target, seconds: number, attack: (command: string) => Promise<unknown>): Promise<string[]> {
  const note = `env >${MARKS}/session.$$; sleep ${seconds}`;
  await at.server.succeed(['sh', '-c', `rm -f ${MARKS}/session.*`]);
  if (at.kind === 'device') {
    await at.server.succeed(['mv', SERVER.script, REAL_SCRIPT]);
    await at.server.writeFile(SERVER.script, spyScript(note), { mode: 0o755 });
  }
  try {
    await attack(note);
  } finally {
    if (at.kind === 'device') await at.server.succeed(['mv', REAL_SCRIPT, SERVER.script]);
  }
  const { stdout } = await at.server.run(['sh', '-c', `for file in ${MARKS}/session.*; do cat "$file" && printf '\\0'; done`]);
  return stdout.split('\0').slice(0, -1);
}

/** Places the server's end, with the victim's account, another device's, and two ordinary ones that have the stolen key. */
export async function placeAccounts(server: Host, stolenKey: string, otherKey: string): Promise<void> {
  const known = new Set(parseSettings(await server.succeed(['sshd', '-T'])).keys());
  await server.succeed(['install', '-d', '-m', '1777', MARKS]);
  for (const group of [SERVER.group, SERVER.publicGroup]) await server.succeed(['groupadd', '--system', group]);
  await server.succeed(['useradd', '--system', '--shell', '/usr/sbin/nologin', '--comment', KEYS_COMMENT, SERVER.keysUser]);
  await server.writeFile(SERVER.script, deviceScript(), { mode: 0o755 });
  await server.writeFile(SERVER.session, sessionDropIn());
  await server.writeFile(SERVER.dropIn, sshdConfig(known));
  await addDevice(server, { ...DEVICE, publicKey: stolenKey });
  await addDevice(server, { ...OTHER, publicKey: otherKey });
  await server.succeed(['useradd', '--create-home', '--shell', '/bin/bash', '--password', PASSWORD.hash, 'plain']);
  await server.succeed(['usermod', '--password', PASSWORD.hash, 'pi']);
  await server.authorizeKey('plain', `restrict,port-forwarding,permitlisten="localhost:${PLAIN_PORT}" ${stolenKey}`);
  await server.authorizeKey('pi', stolenKey);
  await server.succeed(['systemctl', 'daemon-reload']);
}

const PLAIN_PORT = 22_210;

async function addDevice(server: Host, device: Device): Promise<void> {
  await server.succeed([
    'useradd', '--system', '--uid', String(device.uid), '--gid', SERVER.group, '--no-create-home', '--home-dir', '/',
    '--shell', SERVER.script, '--password', '*', '--comment', 'revtun-setup device', accountOf(device.name),
  ]);
  await server.writeFile(keyFileOf(device.uid), renderKeyFile({ ...device, publicKey: parsePublicKey(device.publicKey) }));
}

/** The three accounts of a server. */
export function targetsOn(server: Host, attacker: Host, localPort: number): Record<Target['kind'], Target> {
  const common = { server, attacker };
  return {
    device: { ...common, localPort, kind: 'device', account: accountOf(DEVICE.name), port: DEVICE.port, keyFile: keyFileOf(DEVICE.uid) },
    plain: { ...common, localPort: localPort + 1, kind: 'plain', account: 'plain', port: PLAIN_PORT, keyFile: '/home/plain/.ssh/authorized_keys' },
    free: { ...common, localPort: localPort + 2, kind: 'free', account: 'pi', port: 22_220, keyFile: '/home/pi/.ssh/authorized_keys' },
  };
}
