import { type ExpectedError, failed, notFound, refused, usage } from '../errors.ts';
import { accountOf, type Device, isPublicDevice, isSameKey, keyFileOf, renderKeyFile } from '../server/device.ts';
import { SERVER } from '../server/places.ts';
import { type Account, DEVICE_COMMENT, DEVICE_UIDS, type ServerState } from '../server/state.ts';
import { isOurs } from '../template.ts';
import type { Risk } from '../tunnel/tunnel.ts';
import { planServerSetup, planServerTeardown, relabel, onlyIf } from './serverSetup.ts';
import type { Step } from './step.ts';

/** What is asked for; the rest is chosen, or stays as it is. */
export interface DeviceWish {
  readonly name: string;
  /** One line, as in a .pub file. */
  readonly publicKey: string;
  readonly port?: number;
  readonly bind?: string;
  readonly acceptRisk?: readonly Risk[];
}

/** Ports that are chosen from: above what services use, below what the kernel gives to outgoing connections. */
export const DEVICE_PORTS = { first: 20_000, last: 32_767 } as const;

/** @throws ExpectedError naming the command, where a server is not ready for devices */
export function requireSetUp(state: ServerState, destination: string): void {
  if (planServerSetup(state).length > 0) {
    throw failed('server-not-set-up', 'The server is not set up for devices, or by another version.', `First: revtun-setup server setup ${destination}`);
  }
}

/**
 * What has to happen for a device to be admitted; empty when it is. Pure.
 * @throws ExpectedError
 */
export function planServerAdd(state: ServerState, wish: DeviceWish): { device: Device; steps: Step[] } {
  const account = ownAccount(state, wish.name);
  const existing = state.devices.find(({ name }) => name === wish.name);
  if (existing) refuseOtherThan(existing, wish);
  requireOwnKey(state, wish);
  const bind = wish.bind ?? existing?.bind ?? '127.0.0.1';
  if (isPublicDevice({ bind }) && wish.acceptRisk?.includes('public') !== true && !existing) {
    throw refused('risk', `The port of ${wish.name} would be open to everyone who reaches the server at ${bind}.`, 'If that is what you want, add --accept-risk=public');
  }
  const refusal = existing || wish.port === undefined ? undefined : portTaken(state, wish.port, account);
  if (refusal) throw refusal;
  const port = existing?.port ?? wish.port ?? unusedPort(state);
  const uid = account?.uid ?? freeUid(state);
  const device = existing ?? { name: wish.name, uid, port, bind, publicKey: wish.publicKey };
  return { device, steps: [...accountSteps(state, device, account), ...keySteps(state, device)] };
}

/** The account of a device when the steps of {@link planServerAdd} are done. */
export const accountAfterAdd = ({ groups }: ServerState, device: Device): Account =>
  ({ name: accountOf(device.name), uid: device.uid, gid: groups.get(groupOf(device))!, comment: DEVICE_COMMENT, home: '/', shell: SERVER.script });

/** The way back from an add: no new session first, then no session, then no account. @throws ExpectedError where there is no such device */
export function planServerRemove(state: ServerState, name: string): Step[] {
  const account = ownAccount(state, name);
  if (!account) throw notFound('no-device', `There is no device "${name}" on that server.`, 'revtun-setup server list DEST shows all.');
  return removeSteps(state, account);
}

/** Every device, and then all that setup made. */
export function planServerRemoveAll(state: ServerState): Step[] {
  const ours = [...state.accounts.values()].filter(({ comment }) => comment === DEVICE_COMMENT);
  for (const account of ours) requireOwnUid(account);
  return [...ours.flatMap((account) => removeSteps(state, account)), ...orphanSteps(state, ours), ...planServerTeardown(state)];
}

function removeSteps(state: ServerState, { name, uid, gid }: Account): Step[] {
  const path = keyFileOf(uid);
  const group = [...state.groups].find(([, id]) => id === gid)?.[0] ?? SERVER.group;
  const { argv } = addAccount(name, uid, group);
  return [
    ...(state.keyFiles.has(String(uid)) ? [{ kind: 'remove', path } as const] : []),
    endSessions(uid, `end the sessions of ${name}`),
    { kind: 'run', title: 'remove the account', argv: ['userdel', name], undo: argv },
    // Whoever was logging in at that moment was known to sshd already.
    endSessions(uid, `see that no session of ${name} is left`),
  ];
}

/** Removing a device ends all processes of its uid, which somebody may have changed into another's. @throws ExpectedError */
function requireOwnUid({ name, uid, comment }: Account): void {
  if (comment !== DEVICE_COMMENT || (uid >= DEVICE_UIDS.first && uid <= DEVICE_UIDS.last)) return;
  throw refused('not-ours', `The account ${name} on the server has the user id ${uid}, which revtun-setup gives to no device; it is left untouched.`, `Give it back one from ${DEVICE_UIDS.first} to ${DEVICE_UIDS.last} (usermod --uid), or remove it by hand.`);
}

/** Key files whose account is gone: a run that was killed may have left them. */
function orphanSteps({ keyFiles }: ServerState, accounts: readonly Account[]): Step[] {
  const known = new Set(accounts.map(({ uid }) => String(uid)));
  return [...keyFiles].filter(([name, { content }]) => !known.has(name) && readsAsKeyFile(name, content)).map(([name]) => ({ kind: 'remove', path: keyFileOf(Number(name)) }));
}

const readsAsKeyFile = (name: string, content: string | undefined) => /^\d+$/.test(name) && isOurs(content ?? '');

/** The account of a device; undefined where there is none. @throws ExpectedError where it is somebody else's */
function ownAccount({ accounts }: ServerState, name: string): Account | undefined {
  const account = accounts.get(accountOf(name));
  if (account) requireOwnUid(account);
  if (account && account.comment !== DEVICE_COMMENT) {
    throw refused('not-ours', `The account ${account.name} is there already on the server and was not made by revtun-setup; it is left untouched.`, 'Choose another name for the device.');
  }
  return account;
}

function refuseOtherThan(existing: Device, { name, publicKey, port, bind }: DeviceWish): void {
  const differing = [
    ...(isSameKey(existing.publicKey, publicKey) ? [] : ['with another key']),
    ...(port === undefined || port === existing.port ? [] : [`with port ${existing.port}`]),
    ...(bind === undefined || bind === existing.bind ? [] : [`at ${existing.bind}`]),
  ];
  if (differing.length === 0) return;
  throw refused('device-exists', `There is a device "${name}" on that server already, ${differing.join(' and ')}.`, `To replace it: revtun-setup server remove ${name} DEST, then add it again.`);
}

/** A key that were to open two ports would be a key that two devices have. */
function requireOwnKey({ devices }: ServerState, { name, publicKey }: DeviceWish): void {
  const other = devices.find((device) => device.name !== name && isSameKey(device.publicKey, publicKey));
  if (other) {
    throw refused('key-in-use', `The device "${other.name}" has this very key already: it may have been copied with a disk image.`, 'Make a key of its own for each device: ssh-keygen -t ed25519');
  }
}

/**
 * Why a device cannot have a port; undefined where it can.
 * @param account the device's own, if it is there already: it may hold the port itself
 */
export function portTaken(state: Pick<ServerState, 'devices' | 'keyFiles' | 'listeners'>, port: number, account?: Pick<Account, 'uid'>): ExpectedError | undefined {
  const hint = 'Choose another one, or say none: one is chosen.';
  if (port === 0) return usage('--remote-port: a device is promised one port, and 0 would be another one each time.', hint);
  if (port < 1024) return refused('port-privileged', `--remote-port: only root may listen on port ${port}, and a device is never root.`, hint);
  const promised = state.devices.find((device) => device.port === port && device.uid !== account?.uid);
  if (promised) return refused('port-promised', `--remote-port: port ${port} is promised to the device "${promised.name}".`, hint);
  const damaged = portsInKeyFiles(state).find((one) => one.port === port && one.uid !== account?.uid);
  if (damaged) return refused('port-promised', `--remote-port: port ${port} is promised to the account with user id ${damaged.uid}.`, hint);
  const isTaken = state.listeners.some((listener) => listener.port === port && listener.uid !== account?.uid);
  return isTaken ? refused('port-taken', `--remote-port: something on the server listens on port ${port} already.`, hint) : undefined;
}

/** The first port that a device can have. @throws ExpectedError where there is none left */
export function unusedPort(state: Pick<ServerState, 'devices' | 'keyFiles' | 'listeners' | 'firstEphemeralPort'>): number {
  const { devices, listeners, firstEphemeralPort } = state;
  const taken = new Set([...devices, ...listeners, ...portsInKeyFiles(state)].map(({ port }) => port));
  const last = firstEphemeralPort > DEVICE_PORTS.first + 1000 ? Math.min(DEVICE_PORTS.last, firstEphemeralPort - 1) : DEVICE_PORTS.last;
  for (let port = DEVICE_PORTS.first; port <= last; port += 1) if (!taken.has(port)) return port;
  throw failed('no-port-left', `All ports from ${DEVICE_PORTS.first} to ${last} of the server are promised or in use.`, 'Choose one with --remote-port.');
}

/** A key file that somebody has edited lets its device in all the same. */
const portsInKeyFiles = ({ keyFiles }: Pick<ServerState, 'keyFiles'>) => [...keyFiles].flatMap(([uid, { content = '' }]) =>
  [...content.matchAll(/permitlisten="[^"]*:(\d+)"/g)].map(([, port]) => ({ uid: Number(uid), port: Number(port) })));

/** A number that still has a key file, or processes, would inherit them. */
function freeUid({ takenUids, keyFiles, processes }: ServerState): number {
  for (let uid = DEVICE_UIDS.first; uid <= DEVICE_UIDS.last; uid += 1) {
    if (!takenUids.has(uid) && !keyFiles.has(String(uid)) && !processes.has(uid)) return uid;
  }
  throw failed('no-uid-left', `All user ids from ${DEVICE_UIDS.first} to ${DEVICE_UIDS.last} are taken on the server.`, 'Remove devices that are gone: revtun-setup server list DEST');
}

const groupOf = (device: Device) => (isPublicDevice(device) ? SERVER.publicGroup : SERVER.group);

/** An account that a killed run, or somebody else, has left otherwise than it should be is mended. */
function accountSteps(state: ServerState, device: Device, account: Account | undefined): Step[] {
  const group = groupOf(device);
  if (!account) return [addAccount(accountOf(device.name), device.uid, group)];
  const { name, gid, shell } = account;
  return [
    ...(state.groups.get(group) === gid ? [] : [change('put it into its group', name, ['--gid', group], ['--gid', String(gid)])]),
    ...(shell === SERVER.script ? [] : [change('give it its shell', name, ['--shell', SERVER.script], ['--shell', shell])]),
  ];
}

const change = (title: string, name: string, to: readonly string[], from: readonly string[]): Step =>
  ({ kind: 'run', title, argv: ['usermod', ...to, name], undo: ['usermod', ...from, name] });

function keySteps(state: ServerState, device: Device): Step[] {
  const [path, content] = [keyFileOf(device.uid), renderKeyFile(device)];
  const found = state.keyFiles.get(String(device.uid));
  if (found?.kind === 'file' && found.mode === 0o644 && found.uid === 0 && found.content === content) return [];
  return [{ kind: 'write', path, content, mode: 0o644 }, ...relabel(state, path)];
}

// Constant text; the uid is its argument. For five seconds: a session that is just being made shows up while others end.
const END_SESSIONS = 'while p=$(find /proc -maxdepth 1 -uid "$1" -printf "%f "); [ -n "$p" ]; do [ $((n += 1)) -lt 50 ] || exit 1; kill -KILL $p; sleep 0.1; done';

const addAccount = (name: string, uid: number, group: string) =>
  ({
    kind: 'run',
    title: 'make the account',
    argv: [
      'useradd', '--system', '--uid', String(uid), '--gid', group, '--no-create-home', '--home-dir', '/',
      '--shell', SERVER.script, '--password', '*', '--comment', DEVICE_COMMENT, name,
    ],
    // A session that came in the meantime would keep its account.
    undo: onlyIf(true, ['getent', 'passwd', name], ['sh', '-c', `${END_SESSIONS}; exec userdel "$2"`, 'sh', String(uid), name]),
    unless: ['getent', 'passwd', name],
  }) as const satisfies Step;

const endSessions = (uid: number, title: string): Step => ({ kind: 'run', title, argv: ['sh', '-c', END_SESSIONS, 'sh', String(uid)] });
