import { KEEPALIVE_PROBES, silenceLimit, type Tunnel } from '../tunnel/tunnel.ts';
import { formatDuration } from './state.ts';
import type { Part } from './patient.ts';

/** Seconds, as the unit has them (templates/tunnel.service.ejs): RestartSec=, and what ssh waits for a connection. */
const [RESTART, CONNECT, CONNECT_THROUGH_JUMP] = [0.5, 5, 15];

/** Seconds after which a server that was told nothing lets go of a dead session's port: TCP keepalive's 7200 + 9 * 75 (tcp(7)). */
const SERVER_KNOWS_NOTHING = 7875;

/** Seconds after the way is back until the tunnel is, at most; a login's own time comes on top. */
export function longestDrop(tunnel: Pick<Tunnel, 'keepalive' | 'jump' | 'release'>): number {
  const here = silenceLimit(tunnel) + RESTART + (tunnel.jump.length > 0 ? CONNECT_THROUGH_JUMP : CONNECT);
  return Math.ceil(tunnel.release ? here : Math.max(here, SERVER_KNOWS_NOTHING + RESTART + CONNECT));
}

/** Both ends' time-outs, and what they come to. */
export const longestDropPart: Part = async function* ({ tunnel }) {
  const seconds = longestDrop(tunnel);
  const here = longestDrop({ ...tunnel, release: true });
  const parts = `${silenceLimit(tunnel)} s to notice (keepalive ${tunnel.keepalive} s, ${KEEPALIVE_PROBES} unanswered), ${RESTART} s to restart, ${tunnel.jump.length > 0 ? CONNECT_THROUGH_JUMP : CONNECT} s to connect`;
  const says = tunnel.release
    ? `${seconds} s once the way is back: ${parts}; its port is let go on arrival`
    : `${here} s once the way is back (${parts}), unless the server keeps the dead session's port: up to ${formatDuration(seconds * 1000)} with sshd's defaults; ClientAliveInterval 15 there makes it a minute, an account of \`revtun-setup server add\` none`;
  yield { check: 'longest drop', level: 'ok', says, seconds };
  return true;
};
