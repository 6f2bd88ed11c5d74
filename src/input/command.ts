import { commandLine } from '../shell.ts';
import { FORWARD_FLAG, formatForward } from '../tunnel/forward.ts';
import { DEFAULT_KEEPALIVE, isDeviceAccount, risksOf, serverOf, type Tunnel } from '../tunnel/tunnel.ts';
import { formatDestination } from '../tunnel/destination.ts';
import { placesOf } from '../unit/places.ts';
import { type Circumstances, defaultCiphers } from './resolve.ts';

/** The one command that installs this very tunnel without a question; what is the default here is left out. */
export function installCommand(tunnel: Tunnel, { who, aes }: Circumstances, trust: readonly string[] = []): string[] {
  const risks = new Set(risksOf(tunnel).map(({ risk }) => risk));
  const generated = tunnel.identityFile === placesOf(tunnel.scope, tunnel.name, who.home).generatedKey;
  return [
    ...(who.sudoUser === undefined ? [] : ['sudo']),
    'revtun-setup', 'install', tunnel.name,
    '--host', serverOf(tunnel),
    ...(tunnel.jump.length === 0 ? [] : ['--jump', tunnel.jump.map((hop) => formatDestination(hop)).join(',')]),
    ...tunnel.forwards.flatMap((forward) => [FORWARD_FLAG[forward.kind], formatForward(forward)]),
    ...(generated ? ['--generate-key'] : ['--key', tunnel.identityFile]),
    ...(tunnel.keepalive === DEFAULT_KEEPALIVE ? [] : ['--keepalive', String(tunnel.keepalive)]),
    ...(tunnel.ciphers === defaultCiphers(aes) ? [] : ['--cipher', tunnel.ciphers]),
    ...(isDeviceAccount(tunnel.user) && !tunnel.release ? ['--no-release'] : []),
    ...(tunnel.onDown.length === 0 ? [] : ['--on-down', commandLine(tunnel.onDown)]),
    ...(tunnel.onUp.length === 0 ? [] : ['--on-up', commandLine(tunnel.onUp)]),
    ...(tunnel.scope === (who.uid === 0 ? 'system' : 'user') ? [] : ['--scope', tunnel.scope]),
    ...[...risks].map((risk) => `--accept-risk=${risk}`),
    ...trust,
  ];
}
