import { type ExpectedError, refused, usage } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { commandLine } from '../shell.ts';
import { type Forward, FORWARD_FLAG, formatForward, type ForwardKind } from '../tunnel/forward.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { installCommand } from './command.ts';
import type { Draft } from './fields.ts';
import { type Circumstances, forwardsOf, type Resolved, resolveTunnel } from './resolve.ts';

/** Whether a draft says too little to be a whole tunnel: then it is a change of the one that is installed. */
export const isChange = (draft: Draft) => draft.host === undefined || forwardsOf(draft).length === 0;

/**
 * The installed tunnel with what a draft says; all else stays as it is.
 * @throws ExpectedError where a forward would be lost that the draft does not mention, or where it is not clear which is meant
 */
export async function changedTunnel(draft: Draft, installed: Tunnel, machine: Machine, circumstances: Circumstances): Promise<Resolved> {
  const { wanted, lost } = changedForwards(draft, installed, circumstances);
  const resolved = await resolveTunnel(completed(draft, installed, wanted), machine, circumstances);
  const tunnel: Tunnel = {
    ...resolved.tunnel,
    // What an alias meant stands in the record: its ssh_config may be gone, or mean something else by now.
    host: draft.host === undefined ? installed.host : resolved.tunnel.host,
    jump: draft.jump === undefined ? installed.jump : resolved.tunnel.jump,
    release: draft.noRelease !== true && (resolved.tunnel.user === installed.user ? installed.release : resolved.tunnel.release),
  };
  if (lost.length > 0) throw wouldDrop(tunnel, lost, circumstances);
  return { tunnel, notes: draft.host === undefined ? [] : resolved.notes };
}

function wouldDrop(tunnel: Tunnel, lost: readonly Forward[], circumstances: Circumstances): ExpectedError {
  const command = (forwards: readonly Forward[]) => commandLine(installCommand({ ...tunnel, forwards }, circumstances));
  return refused(
    'would-drop-settings',
    `The installed tunnel "${tunnel.name}" has forwards that this command does not mention:\n${lost.map((forward) => `  ${wordsOf(forward)}`).join('\n')}`,
    `To have them as well, type:\n  ${command([...lost, ...tunnel.forwards])}\nTo have only the others:\n  ${command(tunnel.forwards)}`,
  );
}

function completed({ remotePort: _port, bind: _bind, localHost: _host, localPort: _target, ...said }: Draft, installed: Tunnel, forwards: readonly Forward[]): Draft {
  return {
    onDown: installed.onDown,
    onUp: installed.onUp,
    ...said,
    host: said.host ?? { host: installed.host },
    user: said.user ?? said.host?.user ?? installed.user,
    port: said.port ?? said.host?.port ?? installed.port,
    jump: said.jump ?? installed.jump,
    ...(said.generateKey !== true && { key: said.key ?? installed.identityFile }),
    keepalive: said.keepalive ?? installed.keepalive,
    cipher: said.cipher ?? installed.ciphers,
    remoteForward: forwards.filter(({ kind }) => kind === 'remote'),
    localForward: forwards.filter(({ kind }) => kind === 'local'),
    dynamicForward: forwards.filter(({ kind }) => kind === 'dynamic'),
  };
}

/** The forwards that are wanted, and those that the draft loses without a word. */
function changedForwards(draft: Draft, installed: Tunnel, circumstances: Circumstances): { wanted: Forward[]; lost: Forward[] } {
  const said: Readonly<Record<ForwardKind, readonly Forward[] | undefined>> = {
    remote: draft.remotePort === undefined ? draft.remoteForward : [atPort(draft, installed, circumstances), ...(draft.remoteForward ?? [])],
    local: draft.localForward,
    dynamic: draft.dynamicForward,
  };
  const wanted = [...installed.forwards.filter(({ kind }) => said[kind] === undefined), ...Object.values(said).flatMap((forwards) => forwards ?? [])];
  const words = new Set(wanted.map(wordsOf));
  // "none" takes all of a kind away, and --remote-port is about the only one there is.
  const mayGo = ({ kind }: Forward) => said[kind]?.length === 0 || (kind === 'remote' && draft.remotePort !== undefined);
  return { wanted, lost: installed.forwards.filter((forward) => !words.has(wordsOf(forward)) && !mayGo(forward)) };
}

/** The only remote forward, at another port; where there is none, a new one. */
function atPort(draft: Draft, installed: Tunnel, circumstances: Circumstances): Forward {
  const [only, ...others] = installed.forwards.filter(({ kind }) => kind === 'remote');
  const [fresh] = forwardsOf(draft) as [Forward];
  if (!only) return fresh;
  if (others.length > 0 || 'path' in only.listen) {
    throw usage(`--remote-port: it is not clear which forward of "${installed.name}" should change.`, `Say all of them; now they are:\n  ${commandLine(installCommand(installed, circumstances))}`);
  }
  const { bind = only.listen.host, localHost, localPort, remotePort = only.listen.port } = draft;
  const old = only.target === 'socks' || 'path' in only.target ? undefined : only.target;
  const target = localHost === undefined && localPort === undefined ? only.target : { host: localHost ?? old?.host ?? 'localhost', port: localPort ?? old?.port ?? 22 };
  return { kind: 'remote', listen: { ...(bind !== undefined && { host: bind }), port: remotePort }, target };
}

const wordsOf = (forward: Forward) => `${FORWARD_FLAG[forward.kind]} ${formatForward(forward)}`;
