import { join, normalize } from 'node:path';
import { type ExpectedError, InvalidValue, refused, usage } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import { type Destination, formatDestination, parseHost, parseJump, parsePort, parseUser } from '../tunnel/destination.ts';
import type { Endpoint, Forward } from '../tunnel/forward.ts';
import type { Notices } from '../tunnel/notice.ts';
import { AES_GCM_FIRST, DEFAULT_KEEPALIVE, defaultName, isDeviceAccount, parsePath, type Scope, type Tunnel } from '../tunnel/tunnel.ts';
import { placesOf } from '../unit/places.ts';
import type { Draft } from './fields.ts';
import { withWholePath } from './noticeProgram.ts';
import { sshConfigOf, type SshConfigValues } from './sshConfigOf.ts';

/** Facts of this machine that decide what is left open. */
export interface Circumstances {
  readonly who: Identity;
  /** Whether the processor has AES instructions. */
  readonly aes: boolean;
}

/** A tunnel, and what an alias of the user's ssh_config turned out to mean, for showing. */
export interface Resolved {
  readonly tunnel: Tunnel;
  readonly notes: readonly string[];
}

export const scopeOf = (draft: Draft, who: Identity): Scope => draft.scope ?? (who.uid === 0 ? 'system' : 'user');

/** The name that a draft means: the one given, or one after the host as it was typed. */
export const nameOf = (draft: Draft) => draft.name ?? (draft.host && defaultName(draft.host.host));

/** What ssh's -c would be where nobody says otherwise. */
export const defaultCiphers = (aes: boolean) => (aes ? AES_GCM_FIRST : 'default');

/**
 * Completes a draft: what is not said comes from the user's ssh_config (through ssh's own parser) and from our
 * defaults.
 * @throws ExpectedError (usage) naming every flag that is missing
 */
export async function resolveTunnel(draft: Draft, machine: Machine, { who, aes }: Circumstances): Promise<Resolved> {
  const { host } = draft;
  const forwards = forwardsOf(draft);
  if (!host || forwards.length === 0) throw missing(draft);

  const scope = scopeOf(draft, who);
  const name = nameOf(draft)!;
  const asked: Destination = { ...host, ...(draft.user !== undefined && { user: draft.user }), ...(draft.port !== undefined && { port: draft.port }) };
  const config = await sshConfigOf(machine, who, asked);
  const server = hopFrom(config, asked);
  const jump = await resolveJump(machine, who, draft.jump ?? jumpOf(config));
  const tunnel: Tunnel = {
    name,
    scope,
    host: server.host,
    user: server.user,
    port: server.port,
    jump,
    forwards,
    identityFile: nameable(await identityFileOf(draft, machine, who, placesOf(scope, name, who.home).generatedKey, config)),
    keepalive: draft.keepalive ?? DEFAULT_KEEPALIVE,
    ciphers: draft.cipher ?? defaultCiphers(aes),
    release: isDeviceAccount(server.user) && draft.noRelease !== true,
    ...(await resolveNotices(draft, machine)),
  };
  const meant = formatDestination(server);
  const notes = server.host === asked.host && jump.length === 0 ? [] : [
    `${formatDestination(host)} is ${meant}${jump.length === 0 ? '' : ` through ${jump.map(formatDestination).join(', ')}`}`,
  ];
  return { tunnel, notes };
}

/** The commands to tell people with; nobody is told where nothing is said. @throws ExpectedError (usage) */
export async function resolveNotices({ onDown = [], onUp = [] }: Draft, machine: Machine): Promise<Notices> {
  return { onDown: await withWholePath('--on-down', onDown, machine), onUp: await withWholePath('--on-up', onUp, machine) };
}

/** The error for a draft that says too little, naming everything that it has to say. */
export function missing(draft: Draft): ExpectedError {
  const lines = [
    ...(draft.host ? [] : ['--host: which server should hold the port?']),
    ...(forwardsOf(draft).length > 0 ? [] : ['--remote-port (or -R, -L, -D): which port on the server should lead here?']),
  ];
  return usage(lines.join('\n'), 'See revtun-setup install --help, or run revtun-setup alone on a terminal for the wizard.');
}

/** The forwards that a draft asks for; `--remote-port` and its companions are one more -R. */
export function forwardsOf(draft: Draft): Forward[] {
  const { remotePort, bind = '127.0.0.1', localHost = 'localhost', localPort = 22 } = draft;
  const target: Endpoint = { host: localHost, port: localPort };
  return [
    ...(remotePort === undefined ? [] : [{ kind: 'remote', listen: { host: bind, port: remotePort }, target } as const]),
    ...(draft.remoteForward ?? []),
    ...(draft.localForward ?? []),
    ...(draft.dynamicForward ?? []),
  ];
}

type Hop = Required<Destination>;

function hopFrom(config: SshConfigValues, asked: Destination): Hop {
  try {
    return {
      host: parseHost(config.hostname ?? asked.host),
      user: parseUser(asked.user ?? config.user ?? ''),
      port: asked.port ?? parsePort(config.port ?? '22'),
    };
  } catch (error) {
    if (error instanceof InvalidValue) throw usage(`${asked.host}: ssh_config makes it something unusable: ${error.message}`);
    throw error;
  }
}

function jumpOf(config: SshConfigValues): readonly Destination[] {
  if (config.proxycommand !== undefined && config.proxycommand !== 'none') {
    throw refused(
      'proxy-command',
      `ssh_config reaches this host by ProxyCommand ${config.proxycommand}, which a service cannot take over.`,
      'Name the host to go through with --jump, or say --jump none.',
    );
  }
  if (config.proxyjump === undefined || config.proxyjump === 'none') return [];
  try {
    return parseJump(config.proxyjump.replaceAll(/(^|,)ssh:\/\//g, '$1'));
  } catch (error) {
    if (error instanceof InvalidValue) throw usage(`ssh_config reaches this host by ProxyJump ${config.proxyjump}: ${error.message}`, 'Name the host to go through with --jump, or say --jump none.');
    throw error;
  }
}

/** A hop may be an alias too, with a jump of its own before it. */
async function resolveJump(machine: Machine, who: Identity, hops: readonly Destination[], depth = 0): Promise<Hop[]> {
  if (depth > 8) throw usage('--jump: the ProxyJump lines of ssh_config lead in a circle');
  const resolved: Hop[] = [];
  for (const [index, hop] of hops.entries()) {
    const config = await sshConfigOf(machine, who, hop);
    // ssh ignores a ProxyJump of every hop but the first, whose way is not yet decided.
    const before = index === 0 ? await resolveJump(machine, who, jumpOf(config), depth + 1) : [];
    resolved.push(...before, hopFrom(config, hop));
  }
  return resolved;
}

async function identityFileOf(draft: Draft, machine: Machine, who: Identity, generatedKey: string, config: SshConfigValues): Promise<string> {
  if (draft.generateKey === true) return generatedKey;
  if (draft.key !== undefined) return draft.key;
  for (const candidate of preferred(config.identityfile)) {
    const path = candidate.startsWith('~/') ? join(config.home, candidate.slice(2)) : normalize(candidate);
    if ((await machine.stat(path))?.kind === 'file') return path;
  }
  if (await machine.stat(generatedKey)) return generatedKey;
  throw usage('--key: no private key was found in ~/.ssh', `Name one with --key PATH, or have one made with --generate-key.${who.sudoUser === undefined ? '' : ` (Looked in ${config.home}/.ssh.)`}`);
}

/** ssh_config and a home may name what a unit cannot. */
function nameable(path: string): string {
  try {
    return parsePath(path);
  } catch (error) {
    if (error instanceof InvalidValue) throw usage(`--key: ${error.message}`, 'Name another key with --key.');
    throw error;
  }
}

/** ssh would try them all; a service should try one. Of its default names the modern one comes first. */
function preferred(files: readonly string[]): string[] {
  return files.toSorted((a, b) => Number(b.endsWith('/id_ed25519')) - Number(a.endsWith('/id_ed25519')));
}

