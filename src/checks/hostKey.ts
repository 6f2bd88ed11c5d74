import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { personNeeded } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import { type Destination, formatDestination, knownHostsName } from '../tunnel/destination.ts';
import { throughJumps } from '../tunnel/ssh.ts';
import { type Tunnel } from '../tunnel/tunnel.ts';
import { loginFailure } from './loginFailure.ts';
import type { Workbench } from './workbench.ts';

export interface HostKey {
  /** As in known_hosts: `ssh-ed25519`. */
  readonly type: string;
  readonly blob: string;
}

/** What a user says about trust; absent parts mean nothing was said. */
export interface TrustWish {
  readonly fingerprints?: readonly string[];
  readonly knownHostsFile?: string;
  readonly acceptNew?: boolean;
  /** Asks a person; the answer no is an error of the asker's. Without it an unknown key is refused. */
  readonly confirm?: (situation: HostKeySituation) => Promise<void>;
}

export interface HostKeySituation {
  /** How known_hosts names the server. */
  readonly server: string;
  readonly shown: HostKey;
  /** Keys that the user's known_hosts files hold for it, and the file. */
  readonly known: readonly { readonly key: HostKey; readonly file: string }[];
}

/** What will be pinned, and why it is trusted, for telling. */
export interface Trusted {
  readonly lines: readonly string[];
  readonly reasons: readonly string[];
}

/** SHA256 fingerprint as ssh-keygen -l prints it. */
export function fingerprint({ blob }: HostKey): string {
  return `SHA256:${createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').replace(/=+$/, '')}`;
}

/**
 * Decides which host keys to pin for the server and every jump host, in the order in which they are met; a later one
 * is only asked through earlier ones that are trusted.
 *
 * A key that the user knows already is pinned as it is known and checked by ssh itself at the first login. One that
 * nobody vouches for is fetched, and refused unless its fingerprint is given or accepted.
 * @param pinned lines of the installed tunnel's own known_hosts
 * @throws ExpectedError exit code 4 where a person has to decide
 */
export async function trustHostKeys(machine: Machine, who: Identity, tunnel: Tunnel, bench: Workbench, wish: TrustWish, pinned: readonly string[]): Promise<Trusted> {
  const hops: Destination[] = [...tunnel.jump, { host: tunnel.host, user: tunnel.user, port: tunnel.port }];
  const lines: string[] = [];
  const reasons: string[] = [];
  for (const [index, hop] of hops.entries()) {
    const name = knownHostsName(hop.host, hop.port ?? 22);
    const reach = { ...tunnel, jump: hops.slice(0, index), host: hop.host, user: hop.user ?? tunnel.user, port: hop.port ?? 22 };
    const known = (await knownKeys(machine, who, name, bench, wish, pinned)).filter(
      ({ key }) => wish.fingerprints?.includes(fingerprint(key)) ?? true,
    );
    const trusted = known.length > 0 && !wish.confirm ? known.map(({ key }) => key) : [await vouchedFor(machine, who, reach, name, bench, wish, known)];
    await refuseRevoked(machine, who, name, wish, trusted);
    lines.push(...trusted.map((key) => `${name} ${key.type} ${key.blob}`));
    const from = known.length > 0 ? `known from ${[...new Set(known.map(({ file }) => file))].join(', ')}` : wish.fingerprints ? 'as given' : 'accepted now';
    reasons.push(`${name}: ${trusted.map((key) => `${key.type} ${fingerprint(key)}`).join(', ')} (${from})`);
    await bench.pin(lines);
  }
  return { lines, reasons };
}

/** Fetches what the server shows, and returns a key that someone vouches for. */
async function vouchedFor(machine: Machine, who: Identity, reach: Tunnel, name: string, bench: Workbench, wish: TrustWish, known: HostKeySituation['known']): Promise<HostKey> {
  const shown: HostKey[] = [];
  // A fingerprint may be that of any of the server's keys, and ssh shows one at a time.
  const types = wish.fingerprints ? HOST_KEY_TYPES : [undefined];
  for (const type of types) {
    const key = await fetchHostKey(machine, reach, bench, type, known.map(({ key: { type: knownType } }) => knownType));
    if (key === undefined) continue;
    shown.push(key);
    if (wish.fingerprints?.includes(fingerprint(key)) === true || wish.acceptNew === true) return key;
    if (wish.confirm) {
      // Nobody should have to see in a fingerprint that it was revoked.
      await refuseRevoked(machine, who, name, wish, [key]);
      await wish.confirm({ server: name, shown: key, known });
      return key;
    }
  }
  const seen = shown.map((key) => `  ${key.type} ${fingerprint(key)}`).join('\n');
  const server = formatDestination({ host: reach.host, ...(reach.port !== 22 && { port: reach.port }) });
  if (wish.fingerprints) {
    throw personNeeded('host-key-mismatch', `${server} shows none of the host keys given with --host-key, but:\n${seen}`, 'Somebody may be in between. Compare with, on the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub');
  }
  throw personNeeded(
    'host-key-unknown',
    `The host key of ${server} is not known:\n${seen}`,
    `Compare it with, on the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\nIf they are the same, add --host-key ${shown[0] ? fingerprint(shown[0]) : 'SHA256:…'}`,
  );
}

const HOST_KEY_TYPES = ['ssh-ed25519', 'ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521', 'rsa-sha2-512,rsa-sha2-256'] as const;

/**
 * The host key that ssh itself is shown, jump hosts included, without logging in: ssh writes it to a file of ours.
 * @returns undefined when the server has no key of that type
 * @throws ExpectedError when the server cannot be reached
 */
export async function fetchHostKey(machine: Machine, reach: Tunnel, bench: Workbench, types?: string, prefer: readonly string[] = []): Promise<HostKey | undefined> {
  const { key, said, timedOut } = await askHostKey(machine, reach, bench, types, prefer);
  if (key || (types !== undefined && /no matching host key type/.test(said))) return key;
  throw await loginFailure(machine, reach, said, timedOut);
}

/** The same, with all that `ssh -v` said; no key where it did not come so far. */
export async function askHostKey(
  machine: Machine, reach: Tunnel, bench: Workbench, types: string | undefined, prefer: readonly string[],
): Promise<{ key: HostKey | undefined; said: string; timedOut: boolean }> {
  const file = join(bench.directory, 'shown');
  await machine.remove(file);
  const algorithms = types ?? (prefer.length > 0 ? `^${prefer.flatMap(algorithmsOf).join(',')}` : undefined);
  const { stderr: said, timedOut } = await bench.ssh(
    reach,
    ['-v', '-N', '-T', '-o', 'StrictHostKeyChecking=accept-new', '-o', `UserKnownHostsFile="${file}"`, '-o', 'HashKnownHosts=no', '-o', 'PreferredAuthentications=none',
      ...(algorithms === undefined ? [] : ['-o', `HostKeyAlgorithms=${algorithms}`]), ...throughJumps(reach)],
    [],
    // ssh has written the key down when it says so; what follows would only be a refused login.
    { timeoutMs: bench.limit, stopWhen: (words) => words.includes('Permanently added') },
  );
  const line = (await machine.read(file))?.toString().trim().split('\n').at(-1);
  const [, type, blob] = line?.split(' ') ?? [];
  return { key: type !== undefined && blob !== undefined ? { type, blob } : undefined, said, timedOut };
}

const algorithmsOf = (type: string) => (type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]);

/** Keys that the user has for a server already, hashed entries included; ssh-keygen knows how to find them. */
async function knownKeys(machine: Machine, who: Identity, name: string, bench: Workbench, wish: TrustWish, pinned: readonly string[]): Promise<{ key: HostKey; file: string }[]> {
  if (wish.knownHostsFile !== undefined) {
    const found = await lookUp(machine, name, wish.knownHostsFile);
    if (found.length > 0) return found;
    throw personNeeded('host-key-unknown', `--known-hosts: ${wish.knownHostsFile} holds no key for ${name}.`, 'Name another file, or say the fingerprint with --host-key.');
  }
  const own = join(bench.directory, 'pinned');
  await machine.write(own, pinned.map((line) => `${line}\n`).join(''), 0o600);
  const installed = await lookUp(machine, name, own);
  if (installed.length > 0) return installed.map(({ key }) => ({ key, file: 'the installed tunnel' }));
  const files = filesOf(who, wish);
  return (await Promise.all(files.map((file) => lookUp(machine, name, file)))).flat();
}

/** Where a user's own knowledge of hosts lies (ssh_config(5), UserKnownHostsFile and GlobalKnownHostsFile). */
const filesOf = (who: Identity, { knownHostsFile }: TrustWish) => {
  const home = who.sudoHome ?? who.home;
  return [`${home}/.ssh/known_hosts`, `${home}/.ssh/known_hosts2`, '/etc/ssh/ssh_known_hosts', ...(knownHostsFile === undefined ? [] : [knownHostsFile])];
};

/** A key that is marked `@revoked` is no longer the server's alone (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). @throws ExpectedError */
async function refuseRevoked(machine: Machine, who: Identity, name: string, wish: TrustWish, keys: readonly HostKey[]): Promise<void> {
  for (const file of filesOf(who, wish)) {
    const { stdout } = await machine.run(['ssh-keygen', '-F', name, '-f', file], { timeoutMs: 5000 });
    const bad = keys.find(({ blob }) => stdout.split('\n').some((line) => line.startsWith('@revoked') && line.includes(blob)));
    if (bad) throw personNeeded('host-key-revoked', `${file} says that the host key of ${name} is revoked: ${fingerprint(bad)}`, 'It may have been stolen. Give the server a new one.');
  }
}

/** @returns plain keys only; a certificate authority's or a revoked line is not what we pin */
export async function lookUp(machine: Machine, name: string, file: string): Promise<{ key: HostKey; file: string }[]> {
  const { stdout } = await machine.run(['ssh-keygen', '-F', name, '-f', file], { timeoutMs: 5000 });
  return stdout.split('\n').flatMap((line) => {
    const [, type, blob] = /^[^#@\s]\S*\s+(\S+)\s+([A-Za-z0-9+/=]+)/.exec(line) ?? [];
    return type === undefined || blob === undefined ? [] : [{ key: { type, blob }, file }];
  });
}
