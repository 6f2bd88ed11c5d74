import { refused } from '../errors.ts';
import { commandLine } from '../shell.ts';
import { type SettingName, toSettings, type Tunnel } from '../tunnel/tunnel.ts';
import { installCommand } from './command.ts';
import { type Draft, fieldOf, flagOf } from './fields.ts';
import type { Circumstances } from './resolve.ts';

/** ReleaseOnArrival follows from the account, and whether a server's end is ours may change: an install sees for itself. */
type Kept = Exclude<SettingName, 'ReleaseOnArrival'>;

/** By setting of the record: which parts of a draft speak of it. */
const SPOKEN_OF_BY: Readonly<Record<Kept, readonly (keyof Draft)[]>> = {
  Host: ['host'],
  User: ['user', 'host'],
  Port: ['port', 'host'],
  ProxyJump: ['jump'],
  RemoteForward: ['remoteForward', 'remotePort'],
  LocalForward: ['localForward'],
  DynamicForward: ['dynamicForward'],
  IdentityFile: ['key', 'generateKey'],
  ServerAliveInterval: ['keepalive'],
  Ciphers: ['cipher'],
  OnDown: ['onDown'],
  OnUp: ['onUp'],
};

/**
 * Refuses a run that would take back a setting of the installed tunnel without saying so, and prints what to type
 * instead. (`USER@` and `:PORT` of --host count as said only where they are written.)
 * @throws ExpectedError
 */
export function refuseDropped(draft: Draft, installed: Tunnel, wanted: Tunnel, circumstances: Circumstances): void {
  const settings = Object.keys(SPOKEN_OF_BY) as Kept[];
  const dropped = settings.filter((setting) => !isSpokenOf(setting, draft) && valuesOf(installed, setting) !== valuesOf(wanted, setting));
  if (dropped.length === 0) return;
  const lines = dropped.map((setting) => {
    const flag = flagOf(fieldOf(SPOKEN_OF_BY[setting][0]!));
    return `  ${flag}: now ${valuesOf(installed, setting) || 'not set'}, would become ${valuesOf(wanted, setting) || 'not set'}`;
  });
  throw refused(
    'would-drop-settings',
    `The installed tunnel "${installed.name}" has settings that this command does not mention:\n${lines.join('\n')}`,
    `To keep them, type:\n  ${commandLine(installCommand(keeping(installed, wanted, dropped, draft), circumstances))}\n` +
      'To change them, say so with their flags ("none" takes a --jump, -R, -L, -D, --on-down or --on-up away).',
  );
}

function isSpokenOf(setting: Kept, draft: Draft): boolean {
  if (setting === 'User') return draft.user !== undefined || draft.host?.user !== undefined;
  if (setting === 'Port') return draft.port !== undefined || draft.host?.port !== undefined;
  return SPOKEN_OF_BY[setting].some((key) => draft[key] !== undefined);
}

const valuesOf = (tunnel: Tunnel, setting: SettingName) =>
  toSettings(tunnel).filter(([key]) => key === setting).map(([, value]) => value).join(' ');

function keeping(installed: Tunnel, wanted: Tunnel, dropped: readonly Kept[], { noRelease }: Draft): Tunnel {
  const keep = (setting: Kept) => (dropped.includes(setting) ? installed : wanted);
  return {
    ...wanted,
    user: keep('User').user,
    port: keep('Port').port,
    jump: keep('ProxyJump').jump,
    forwards: (['RemoteForward', 'LocalForward', 'DynamicForward'] as const).flatMap((setting) =>
      keep(setting).forwards.filter(({ kind }) => setting === FORWARDS[kind])),
    identityFile: keep('IdentityFile').identityFile,
    keepalive: keep('ServerAliveInterval').keepalive,
    ciphers: keep('Ciphers').ciphers,
    release: noRelease !== true && keep('User').release,
    onDown: keep('OnDown').onDown,
    onUp: keep('OnUp').onUp,
  };
}

const FORWARDS = { remote: 'RemoteForward', local: 'LocalForward', dynamic: 'DynamicForward' } as const;
