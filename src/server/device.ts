import { InvalidValue } from '../errors.ts';
import { version } from '../package.ts';
import { HEADER } from '../template.ts';
import { parseHost, quoted } from '../tunnel/destination.ts';
import { isLoopback } from '../tunnel/forward.ts';
import { isDeviceAccount } from '../tunnel/tunnel.ts';
import { SERVER } from './places.ts';

/** A device as a server knows it. Its key file is the only record of it. */
export interface Device {
  readonly name: string;
  /** Of its account on the server. */
  readonly uid: number;
  readonly port: number;
  /** Where the server listens, as the device asks for it (`-R bind:port:…`); `*` is every address. */
  readonly bind: string;
  /** One line, as in a .pub file. */
  readonly publicKey: string;
}

const ACCOUNT_PREFIX = 'revtun-';

// useradd takes 32 characters, seven of which are the prefix.
const NAME = '[a-z0-9][a-z0-9_-]{0,24}';

export const accountOf = (name: string) => `${ACCOUNT_PREFIX}${name}`;

/** The inverse of {@link accountOf}; undefined for an account that is no device's. */
export const deviceOf = (account: string) => (isDeviceAccount(account) ? account.slice(ACCOUNT_PREFIX.length) : undefined);

/** Whether two lines are of one key, whatever their comments. */
export const isSameKey = (one: string, other: string) => keyBlob(one) === keyBlob(other);

const keyBlob = (publicKey: string) => publicKey.trim().split(/\s+/).slice(0, 2).join(' ');

/** @throws InvalidValue unless the text can name a device */
export function parseDeviceName(text: string): string {
  if (!new RegExp(`^${NAME}$`).test(text)) {
    throw new InvalidValue(`${quoted(text)} cannot name a device: use up to 25 of a-z 0-9 _ - and begin with a letter or digit`);
  }
  return text;
}

/** The name a device gets when none is given: the first label of its host name. */
export function defaultDeviceName(hostname: string): string {
  const label = hostname.toLowerCase().replace(/^([^.]+)\..*$/s, '$1');
  const name = label.replace(/[^a-z0-9_-]+/g, '-').replace(/^[_-]+/, '').slice(0, 25).replace(/[_-]+$/, '');
  return name === '' ? 'device' : name;
}

export const keyFileOf = (uid: number) => `${SERVER.keys}/${uid}`;

/** Whether everyone who reaches the server may reach the device's port. */
export const isPublicDevice = ({ bind }: Pick<Device, 'bind'>) => !isLoopback(bind);

/**
 * The file that lets a device in. Without `permitopen` a key that may listen could also connect to everything that the
 * server reaches; the one port that it names is the device's own, for the proof (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
 */
export function renderKeyFile(device: Device): string {
  const { name, port, bind, publicKey } = device;
  const options = ['restrict', 'port-forwarding', `permitlisten="${hostPort(sentBind(bind), port)}"`, `permitopen="${hostPort(proofHost(bind), port)}"`];
  return `${header(version(), name)}\n${options.join(',')} ${publicKey}\n`;
}

/**
 * The inverse of {@link renderKeyFile}, for whatever version wrote it.
 * @returns undefined for a file that is not exactly as we write it
 */
export function readKeyFile(uid: number, text: string): Device | undefined {
  const [, writer = '', name = '', listen = '', open = '', publicKey = ''] = KEY_FILE.exec(text) ?? [];
  const [, host = '', digits] = /^(.*):(\d+)$/.exec(listen) ?? [];
  const device = { name, uid, port: Number(digits), bind: receivedBind(host), publicKey };
  const isOurs = text.startsWith(`${header(writer, name)}\n`) && listen === hostPort(sentBind(device.bind), device.port);
  if (!isOurs || open !== hostPort(proofHost(device.bind), device.port) || !isPort(device.port)) return undefined;
  try {
    if (device.bind !== '*') parseHost(device.bind);
    return parsePublicKey(publicKey) === publicKey ? device : undefined;
  } catch {
    return undefined;
  }
}

const header = (writer: string, name: string) =>
  `${HEADER} ${writer} for device ${name}; revoke it with: revtun-setup server remove ${name} DEST`;

const KEY_FILE = new RegExp(
  String.raw`^${HEADER} (\S+) for device (${NAME});.*\nrestrict,port-forwarding,permitlisten="([^"\n]*)",permitopen="([^"\n]*)" ([^\n]+)\n$`,
);

const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= 65_535;

const hostPort = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** permitlisten is compared with the very text that ssh sends for the address (channels.c): nothing for `*`. */
const sentBind = (bind: string) => (bind === '*' ? '' : bind);

function receivedBind(text: string): string {
  return text === '' ? '*' : text.replace(/^\[(.*)\]$/, '$1');
}

/** Where the server connects to for the proof; an address for all addresses is none to connect to. */
function proofHost(bind: string): string {
  if (bind === '*') return 'localhost';
  if (bind === '0.0.0.0') return '127.0.0.1';
  return bind === '::' ? '::1' : bind;
}

const KEY_TYPES = /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521))$/;

/**
 * Reads a public key as ssh-keygen writes it to a .pub file: one line, `TYPE BASE64 [COMMENT]`.
 * @returns the line with single blanks
 * @throws InvalidValue that says what it is instead
 */
export function parsePublicKey(text: string): string {
  if (/PRIVATE KEY-----|^PuTTY-User-Key-File/m.test(text)) throw new InvalidValue('this is a private key, which must not leave its device: name the file that ends in .pub');
  if (/^---- BEGIN SSH2 PUBLIC KEY/m.test(text)) throw new InvalidValue('this public key is in the format of RFC 4716: convert it with ssh-keygen -i -f FILE');
  const line = text.trim();
  if (line === '') throw new InvalidValue('there is no key in it');
  // Invisible characters end where a person reads the list of devices.
  if (/[\p{Cc}\p{Cf}\u2028\u2029\uFFFD]/u.test(line.replaceAll('\t', ' '))) throw new InvalidValue('a public key is one line of plain text, and this is more');
  const [type = '', blob = '', ...comment] = line.split(/[ \t]+/);
  if (/-cert-v0\d@/.test(type)) throw new InvalidValue('this is a certificate: name the public key that it was made for');
  if (type.startsWith('sk-')) throw new InvalidValue('this key lives on a security key that wants to be touched, and a device has nobody to do that');
  if (type === 'ssh-dss') throw new InvalidValue('this is a DSA key, which sshd takes no more');
  if (!KEY_TYPES.test(type)) throw new InvalidValue(`${quoted(line)} is not a public key: it begins with its type, as in "ssh-ed25519 AAAA…", with no options before it`);
  if (!isBlobOf(type, blob)) throw new InvalidValue(`this ${type} key is damaged: what follows its type is not one whole key`);
  return [type, blob, ...comment].join(' ');
}

/** The fields of a key's wire format (RFC 4253, 6.6), and nothing after them. */
function isBlobOf(type: string, blob: string): boolean {
  const bytes = Buffer.from(blob, 'base64');
  if (bytes.toString('base64') !== blob) return false;
  const fields: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) return false;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) return false;
    fields.push(bytes.subarray(at + 4, end));
    at = end;
  }
  if (fields[0]?.toString('latin1') !== type) return false;
  return type === 'ssh-ed25519' ? fields.length === 2 && fields[1]?.length === 32 : fields.length === 3;
}
