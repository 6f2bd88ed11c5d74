import { usage } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { Notices } from '../tunnel/notice.ts';
import { type Installed, recordDamaged } from '../unit/installed.ts';
import { changedTunnel, isChange } from './change.ts';
import { refuseDropped } from './dropped.ts';
import type { Draft } from './fields.ts';
import { type Circumstances, type Resolved, resolveNotices, resolveTunnel } from './resolve.ts';

/** What of a draft describes the tunnel itself; the rest is about trust or about this run. */
const TUNNEL_KEYS = [
  'host', 'user', 'port', 'jump', 'key', 'generateKey', 'keepalive', 'cipher', 'noRelease',
  'remotePort', 'remoteForward', 'localForward', 'dynamicForward',
] as const satisfies readonly (keyof Draft)[];

/**
 * The tunnel that a run is about: the installed one where nothing else is said (so that a run without flags repairs
 * it), or nothing but who is to be told; with a change, where too little is said for a whole tunnel; otherwise what the
 * draft comes to.
 * @throws ExpectedError when something is missing, or when settings would be lost in silence
 */
export async function wantedTunnel(draft: Draft, existing: Installed | undefined, machine: Machine, circumstances: Circumstances): Promise<Resolved> {
  const saysNothing = TUNNEL_KEYS.every((key) => draft[key] === undefined);
  if (saysNothing && existing) {
    if (existing.tunnel) return { tunnel: { ...existing.tunnel, ...(await saidNotices(draft, machine)) }, notes: [] };
    throw recordDamaged(existing);
  }
  if (saysNothing && draft.name !== undefined) {
    throw usage(`--host: which server should hold the port? (There is no tunnel "${draft.name}" yet.)`, 'See revtun-setup install --help, or run revtun-setup alone for the wizard.');
  }
  if (existing?.tunnel && isChange(draft)) return changedTunnel(draft, existing.tunnel, machine, circumstances);
  const resolved = await resolveTunnel(draft, machine, circumstances);
  if (existing?.tunnel) refuseDropped(draft, existing.tunnel, resolved.tunnel, circumstances);
  return resolved;
}

async function saidNotices(draft: Draft, machine: Machine): Promise<Partial<Notices>> {
  const { onDown, onUp } = await resolveNotices(draft, machine);
  return { ...(draft.onDown && { onDown }), ...(draft.onUp && { onUp }) };
}
