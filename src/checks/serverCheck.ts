import type { Machine } from '../machine/machine.ts';
import { expectedSettings } from '../server/content.ts';
import { type Device, deviceOf, isPublicDevice, keyFileOf } from '../server/device.ts';
import { SERVER } from '../server/places.ts';
import { parseParts, partsScript } from '../server/parts.ts';
import { type Account, DEVICE_COMMENT, DEVICE_UIDS, parseSettings, type ServerState } from '../server/state.ts';
import { conditionalLines, overridingLine, placeOf, readLines, type SshdLine } from './sshdLines.ts';
import { matchesPatterns } from './sshdPatterns.ts';

/** One thing that was looked at on a server. */
export interface ServerFinding {
  /** Stable; docs/json.md lists them. */
  readonly finding: string;
  readonly level: 'ok' | 'unknown' | 'fault';
  /** A sentence. */
  readonly says: string;
  readonly device?: string;
  /** Of a setting that is not as it should be. */
  readonly setting?: { readonly keyword: string; readonly seen: string; readonly wanted: string; readonly where: string | null };
}

/** Accounts that sshd is asked about one by one, 20 ms each; those that a setting names come first. */
const MOST_ACCOUNTS = 50;

/** Where there is no device yet, sshd tells what would hold for one. */
const ANYBODY: Account = { name: 'revtun-0', uid: DEVICE_UIDS.last, gid: -1, comment: DEVICE_COMMENT, home: '/', shell: SERVER.script };

/**
 * Looks at what devices will meet on a server.
 * @param state read just now
 */
export async function checkServer(machine: Machine, state: ServerState): Promise<ServerFinding[]> {
  const ours = devicesAmong(state);
  const [settings, firewall] = [await checkWhatHolds(machine, state), await checkFirewall(machine, state)];
  return [
    ...(state.complaint === '' ? [] : [unknown('sshd-complains', `sshd says of its configuration: ${state.complaint}`)]),
    ...ours.flatMap((account) => checkAccount(state, account)),
    ...checkPorts(state),
    ...settings,
    ...checkKeepalive(state),
    ...checkPenalties(state),
    ...checkStartups(state),
    ...firewall,
  ];
}

/**
 * What sshd itself says holds for devices: whether somebody else's settings win over those that keep them to their port.
 * @param names accounts to ask about; all by default
 */
export async function checkWhatHolds(machine: Machine, state: ServerState, names?: readonly string[]): Promise<ServerFinding[]> {
  const ours = devicesAmong(state).filter(({ name }) => names?.includes(name) !== false);
  const { parts, asked } = await look(machine, state, ours.length === 0 ? [ANYBODY] : ours);
  const lines = readLines(parts.get('configuration') ?? '');
  return [
    ...asked.flatMap((account) => checkSettings(state, account, parseSettings(parts.get(`effective:${account.name}`) ?? ''), lines)),
    ...(ours.length > asked.length ? [unknown('not-all-asked', `sshd was asked about ${asked.length} of ${ours.length} accounts.`)] : []),
  ];
}

const devicesAmong = ({ accounts }: ServerState) => [...accounts.values()].filter(({ comment }) => comment === DEVICE_COMMENT);

async function look(machine: Machine, state: ServerState, ours: readonly Account[]) {
  const run = async (accounts: readonly Account[]) => {
    const names = accounts.map(({ name }) => name);
    const { stdout } = await machine.run(['sh', '-c', partsScript('check'), 'sh', state.settings.get('port')?.[0] ?? '22', ...names], { timeoutMs: 60_000 });
    return { asked: accounts, parts: parseParts(stdout) };
  };
  if (ours.length <= MOST_ACCOUNTS) return run(ours);
  const words = new Set((await run([])).parts.get('configuration')?.split(/[\s,!"]+/));
  const isNamed = ({ name }: Account) => words.has(name);
  return run([...ours.filter(isNamed), ...ours.filter((account) => !isNamed(account))].slice(0, MOST_ACCOUNTS));
}

function checkAccount(state: ServerState, { name, uid, shell }: Account): ServerFinding[] {
  const path = keyFileOf(uid);
  const file = state.keyFiles.get(String(uid));
  const of = { device: deviceOf(name) ?? name };
  const shellFault = shell === SERVER.script ? [] : [fault('account-altered', `The account ${name} has the shell ${shell} instead of ${SERVER.script}: its key may be able to run programs.`, of)];
  if (!file) return [...shellFault, fault('key-file', `${path} is missing: ${of.device} is not admitted. Add it again, or remove it.`, of)];
  if (file.kind !== 'file' || file.uid !== 0 || (file.mode & 0o022) !== 0) return [...shellFault, fault('key-file', `${path} is not a plain file that root alone may write to: ${of.device} is not admitted.`, of)];
  if (!state.devices.some((device) => device.uid === uid)) return [...shellFault, fault('key-file', `${path} is not as it was written: ${of.device} may be refused, or admitted to something else.`, of)];
  return shellFault;
}

function checkPorts({ devices, listeners, connections }: ServerState): ServerFinding[] {
  const byPort = new Map<number, Device>();
  const shared = devices.flatMap((device) => {
    const other = byPort.get(device.port);
    byPort.set(device.port, device);
    return other ? [fault('port-shared', `Port ${device.port} is promised to ${other.name} and to ${device.name}.`, { device: device.name })] : [];
  });
  const taken = devices.flatMap((device) => {
    const other = listeners.find(({ port, uid }) => port === device.port && uid !== device.uid);
    return other && !connections.some(({ uid }) => uid === device.uid) ? [fault('port-taken', `Port ${device.port} of ${device.name} is held by a program of uid ${other.uid}. See: ss -ltnp`, { device: device.name })] : [];
  });
  return [...shared, ...taken];
}

function checkSettings(state: ServerState, account: Account, seen: ReadonlyMap<string, readonly string[]>, lines: readonly SshdLine[]): ServerFinding[] {
  const device = deviceOf(account.name) ?? account.name;
  if (seen.size === 0) return [unknown('not-asked', `sshd does not say what holds for ${account.name}.`, { device })];
  const isPublic = state.groups.get(SERVER.publicGroup) === account.gid;
  const expected = expectedSettings(new Set(state.settings.keys()), { public: isPublic });
  const wrong = [...expected].map(([keyword, values]) => [keyword, values.join(' ')] as const).filter(([keyword, wanted]) => valueOf(seen, keyword) !== wanted);
  const groups = [isPublic ? SERVER.publicGroup : SERVER.group];
  const sometimes = conditionalLines(lines, new Set(expected.keys()), account.name, groups).map((line): ServerFinding => {
    const [keyword = '', ...value] = line.text.split(/[\s=]+/);
    const wanted = (expected.get(keyword.toLowerCase()) ?? []).join(' ');
    const says = `${account.name}: ${placeOf(line)} comes before the settings for devices, and makes ${keyword} "${value.join(' ')}" for some addresses.`;
    return { finding: 'setting', level: 'fault', says, device, setting: { keyword: keyword.toLowerCase(), seen: value.join(' '), wanted, where: placeOf(line) } };
  });
  const denied = ([['denyusers', [account.name]], ['denygroups', groups]] as const).flatMap(([keyword, names]): ServerFinding[] => {
    const patterns = (seen.get(keyword) ?? []).flatMap((line) => line.split(' '));
    if (!names.some((name) => matchesPatterns(name, patterns))) return [];
    return [{ finding: 'setting', level: 'fault', says: `${account.name}: ${keyword} of sshd keeps it out.`, device, setting: { keyword, seen: patterns.join(' '), wanted: '', where: overridingLine(lines, keyword, '') ?? null } }];
  });
  if (wrong.length + sometimes.length + denied.length === 0) return [{ finding: 'settings', level: 'ok', says: `${account.name}: sshd admits its port and nothing else`, device }];
  return [...denied, ...sometimes, ...wrong.map(([keyword, wanted]): ServerFinding => {
    const value = valueOf(seen, keyword);
    const where = overridingLine(lines, keyword, value);
    const says = `${account.name}: ${keyword} is "${value}" instead of "${wanted}"${where === undefined ? '' : `, by ${where}`}.`;
    return { finding: 'setting', level: 'fault', says, device, setting: { keyword, seen: value, wanted, where: where ?? null } };
  })];
}

const valueOf = (settings: ReadonlyMap<string, readonly string[]>, keyword: string) => (settings.get(keyword) ?? []).join(' ');

/** OpenSSH 9.2 to 9.4 send each probe only after two intervals (serverloop.c; mended in 9.5). */
function checkKeepalive({ openssh }: ServerState): ServerFinding[] {
  const version = Number(/OpenSSH_(\d+\.\d+)/.exec(openssh)?.[1]);
  const doubled = version >= 9.2 && version <= 9.4;
  return [ok('client-alive', `a session whose device is gone without a word ends after ${doubled ? `80 s (${openssh} takes twice as long as it is told)` : '40 s'}, or as soon as the device is back`)];
}

function checkPenalties({ settings, connections }: ServerState): ServerFinding[] {
  const penalties = valueOf(settings, 'persourcepenalties');
  if (penalties === '' || penalties === 'no') return [ok('penalties', 'sshd bans no address for logins that fail')];
  const addresses = connections.flatMap(({ from }) => from ?? []);
  const shared = addresses.find((address, at) => addresses.indexOf(address) !== at);
  const many = 'devices behind one address share its penalties: with several refused keys there, all of them are kept out for a while';
  if (shared === undefined) return [ok('penalties', `sshd bans addresses whose logins fail (PerSourcePenalties); one device with a refused key stays below that, but ${many}`)];
  return [unknown('penalties', `sshd bans addresses whose logins fail (PerSourcePenalties), and ${many}. Several come from ${shared}; to exempt it: PerSourcePenaltyExemptList ${shared}`)];
}

/** `10:30:100`: so many logins may be under way before sshd drops some, and all (sshd_config(5)). */
function checkStartups({ settings, devices }: ServerState): ServerFinding[] {
  const startups = valueOf(settings, 'maxstartups');
  const begin = Number(startups.split(':')[0]);
  if (!(devices.length > begin)) return [ok('max-startups', `${devices.length} ${devices.length === 1 ? 'device' : 'devices'} may log in at once (MaxStartups ${startups})`)];
  return [unknown('max-startups', `${devices.length} devices come at once after the server was down, and sshd drops some of more than ${begin}: they try again. For more at once: MaxStartups ${2 * devices.length}:30:${4 * devices.length}`)];
}

async function checkFirewall(machine: Machine, { devices }: ServerState): Promise<ServerFinding[]> {
  const exposed = devices.filter(isPublicDevice);
  if (exposed.length === 0) return [];
  const parts = parseParts((await machine.run(['sh', '-c', partsScript('firewall')], { timeoutMs: 60_000 })).stdout);
  const has = (name: string, pattern: RegExp) => pattern.test(parts.get(name) ?? '');
  const [ufw, firewalld] = [has('ufw', /^Status: active/), has('firewalld', /^running/)];
  if (!ufw && !firewalld && !has('closed', /./)) return [ok('firewall', 'no firewall of the server itself closes the public ports; one in front of it cannot be seen from here')];
  const shut = exposed.filter(({ port }) => !has('admitted', new RegExp(`(^|\\s)${port}(/tcp)?(\\s|$)`)));
  return shut.map(({ name, port }) => {
    const command = ufw ? `ufw allow ${port}/tcp` : firewalld ? `firewall-cmd --permanent --add-port=${port}/tcp && firewall-cmd --reload` : 'a rule of nft or iptables';
    return unknown('firewall', `Port ${port} of ${name} is meant for everyone, but the server's firewall may keep it closed. To open it: ${command}`, { device: name });
  });
}

const made = (level: ServerFinding['level']) => (finding: string, says: string, more: { device?: string } = {}): ServerFinding => ({ finding, level, says, ...more });
const [ok, unknown, fault] = [made('ok'), made('unknown'), made('fault')];
