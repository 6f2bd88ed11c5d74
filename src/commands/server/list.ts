import { formatDuration } from '../../doctor/state.ts';
import type { Device } from '../../server/device.ts';
import type { ServerState } from '../../server/state.ts';
import { type Destination, formatDestination } from '../../tunnel/destination.ts';
import type { Context } from '../context.ts';
import { table } from '../list.ts';
import { onServer } from './login.ts';

/** Every device that a server admits, and whether it holds its port right now. */
export async function serverList(context: Context, destination: Destination): Promise<void> {
  await onServer(context, destination, false, async ({ output }, state) => {
    const rows = state.devices.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((device) => ({ device, connection: connectionOf(state, device) }));
    output.object({
      ok: true,
      devices: rows.map(({ device: { name, port, bind }, connection }) => ({
        name, port, bind, connected: connection !== undefined, since: connection?.since.toISOString() ?? null, from: connection?.from ?? null,
      })),
    });
    if (output.json) return;
    if (rows.length === 0) {
      output.result(`No devices. Admit one with: revtun-setup server add DEVICE --key FILE.pub ${formatDestination(destination)}`);
      return;
    }
    output.result(table([
      ['DEVICE', 'PORT', 'BIND', 'STATE', 'FROM'],
      ...rows.map(({ device: { name, port, bind }, connection }) => [name, String(port), bind, stateOf(state, connection), connection?.from ?? '']),
    ]));
  });
}

/** A port is held when it listens by the device's own account; the latest session, should an older one be about to end. */
export const connectionOf = ({ connections }: ServerState, { uid, port }: Device) =>
  connections.filter((connection) => connection.uid === uid && connection.port === port).toSorted((a, b) => b.since.getTime() - a.since.getTime())[0];

const stateOf = ({ now }: ServerState, connection: ReturnType<typeof connectionOf>) =>
  connection ? `connected for ${formatDuration(now.getTime() - connection.since.getTime())}` : 'not connected';
