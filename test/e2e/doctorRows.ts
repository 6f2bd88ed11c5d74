import { expect } from '@jest/globals';
import { waitFor } from '../lab/waitFor.ts';
import { type DoctorDrill, expectHealthy, type Fault, startDoctorDrill } from './doctorDrill.ts';
import { cutSession } from './doctorMeans.ts';
import type { World } from './world.ts';

/** A fault of the way, of the server or of what comes back. */
export interface FaultThere<Name extends string> extends Fault<World<Name>> {
  /** Whose service suffers from it; `home` unless said. */
  readonly tunnel?: string;
  /** What becomes of the service, which is started again to meet the fault: `down` unless said. `left`: it is not. */
  readonly service?: 'down' | 'up' | 'left';
  /** What the doctor says besides the id. */
  readonly says?: RegExp;
}

/** The tunnels that the rows speak of, all up, with their ports and servers. */
export type Tunnels<Name extends string> = Readonly<Record<string, { readonly port: number; readonly server?: Name }>>;

/** Has a fault happen, hears the doctor, and sees the tunnel come back. */
export interface Runner<Name extends string> {
  expectFinding(row: FaultThere<Name>): Promise<void>;
  /** Of a tunnel to which nothing was done. */
  expectHealth(tunnel: string): Promise<void>;
}

export async function startRows<Name extends string>(world: World<Name>, tunnels: Tunnels<Name>): Promise<Runner<Name>> {
  const drills: Record<string, DoctorDrill<World<Name>>> = {};
  for (const [name, { port, server }] of Object.entries(tunnels)) {
    drills[name] = await startDoctorDrill({ ...world, server: server ? world.hosts[server] : world.server }, { name, port });
  }
  const { device } = world;
  return {
    expectHealth: async (tunnel) => {
      await waitFor(async () => (await stateOf(`revtun-${tunnel}.service`)) === 'active', { what: `${tunnel} to be up`, timeoutMs: 60_000 });
      expectHealthy(await drills[tunnel]!.doctor());
    },
    expectFinding,
  };

  async function expectFinding({ tunnel = 'home', service = 'down', says = /./, spoil, mend, ...row }: FaultThere<Name>): Promise<void> {
    const unit = `revtun-${tunnel}.service`;
    const answer = await drills[tunnel]!.expectFinding({
      ...row,
      spoil: async () => {
        await spoil(world);
        if (service === 'left') return;
        await device.succeed(['systemctl', 'restart', ...(service === 'down' ? ['--no-block'] : []), unit]);
        if (service === 'down') await waitFor(async () => (await stateOf(unit)) === 'activating', { what: `${unit} to be down` });
      },
      mend: async () => {
        await mend?.(world);
        // What was refused would wait before it tries again.
        await device.run(['sh', '-c', 'systemctl stop "$1.service"; rm -rf "/run/$1"', 'sh', `revtun-${tunnel}`]);
        // Where no goodbye got through, a dead session would keep the port.
        const { port, server } = tunnels[tunnel]!;
        await cutSession(server ? world.hosts[server] : world.server, port);
      },
    });
    expect(answer.error?.message).toMatch(says);
  }

  async function stateOf(unit: string): Promise<string> {
    return (await device.succeed(['systemctl', 'show', '-p', 'ActiveState', '--value', unit])).trim();
  }
}

/** Which faults to make, by their names or ids: a run with jest's -t makes them all, and shows some. */
const WANTED = new RegExp(process.env['DRILL'] ?? '');
const isWanted = ({ name, finding }: { readonly name: string; readonly finding: string }) => WANTED.test(`${name}: ${finding}`);

/**
 * Makes the faults side by side, since most of each is waiting: in the order of the rows, each in the next free lane.
 * Call it before the tests, start it when the lanes are there, and ask it for the outcome of each row.
 */
export class Lanes<Name extends string> {
  readonly rows: readonly FaultThere<Name>[];
  readonly #outcomes = new Map<FaultThere<Name>, Promise<unknown>>();
  readonly #settle = new Map<FaultThere<Name>, (error: unknown) => void>();

  constructor(rows: readonly FaultThere<Name>[]) {
    this.rows = rows.filter(isWanted);
    for (const row of this.rows) this.#outcomes.set(row, new Promise((resolve) => this.#settle.set(row, resolve)));
  }

  start(runners: readonly Runner<Name>[]): void {
    const waiting = [...this.rows];
    for (const runner of runners) {
      void (async () => {
        for (let row = waiting.shift(); row; row = waiting.shift()) {
          this.#settle.get(row)!(await runner.expectFinding(row).catch((error: unknown) => error));
        }
      })();
    }
  }

  /** @throws what the row's drill threw */
  async outcome(row: FaultThere<Name>): Promise<void> {
    const error = await this.#outcomes.get(row);
    if (error !== undefined) throw error;
  }
}
