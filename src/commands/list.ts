import { readState } from '../doctor/state.ts';
import { describeForwards, serverOf } from '../tunnel/tunnel.ts';
import { findInstalledAnywhere } from '../unit/installed.ts';
import type { Context } from './context.ts';

/** Every tunnel of ours on this machine, both scopes. */
export async function list({ machine, who, output }: Context): Promise<void> {
  const installed = await findInstalledAnywhere(machine, who);
  const rows = await Promise.all(installed.map(async (tunnel) => ({ tunnel, state: await readState(machine, who, tunnel) })));
  output.object({
    ok: true,
    tunnels: rows.map(({ tunnel: { name, scope, places, tunnel }, state }) => ({
      name, scope, unit: places.unit, state: state.state, outdated: state.outdated, enabled: state.enabled,
      server: tunnel ? serverOf(tunnel) : null, forwards: tunnel ? describeForwards(tunnel) : null,
    })),
  });
  if (output.json) return;
  if (rows.length === 0) {
    output.result('No tunnels. Make one with: revtun-setup');
    return;
  }
  output.result(table([
    ['NAME', 'SCOPE', 'STATE', 'SERVER', 'FORWARDS'],
    ...rows.map(({ tunnel: { name, scope, tunnel, hidden }, state }) => [
      name, scope, [state.state, ...(state.outdated ? ['with its former settings'] : []), ...(state.enabled ? [] : ['not at boot'])].join(', '), tunnel ? serverOf(tunnel) : hidden === true ? '(only root may read it)' : '(record damaged)', tunnel ? describeForwards(tunnel) : '',
    ]),
  ]));
}

/** Left-aligned columns, two blanks apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()).join('\n');
}
