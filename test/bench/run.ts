/**
 * `npm run bench`: what this program costs and what its tunnels give, beside the plain things that it could be held against.
 * All of dist/ as it is; needs what the tests' lab needs. With --write, docs/benchmarks.md tells the numbers of this run.
 * Names of parts (start-up, install, tunnel, package, fleet, recovery) limit it to these. The last takes most of the time: --quick
 * leaves out its long waits, --only WORD limits it to pairs of hosts whose title contains that.
 */
import { parseArgs } from 'node:util';
import { readFacts } from '../../src/checks/facts.ts';
import { local, whoAmI } from '../../src/machine/local.ts';
import { makeWorld, type World } from '../e2e/world.ts';
import { disposeAll } from '../lab/cleanup.ts';
import { installCommand, missingRequirements } from '../lab/requirements.ts';
import { measureFleet } from './fleet.ts';
import { measureInstalling } from './installing.ts';
import { describeMachine } from './machineClass.ts';
import { type Measurer, startMeasurer } from './measurer.ts';
import { measureMemory } from './memory.ts';
import { measurePackage } from './npmPackage.ts';
import { measureRecovery } from './recovery.ts';
import { reportRecovery } from './recoveryReport.ts';
import { circumstances, report, writeReport } from './report.ts';
import type { Result } from './result.ts';
import { measureStartUp } from './startUp.ts';
import { measureThroughput } from './throughput.ts';
import { openTunnels } from './tunnels.ts';

process.env['REVTUN_TEST_HOSTS'] = 'stock';

/** The lab, with something in each host that can measure. */
interface Scene {
  readonly world: World<never>;
  readonly device: Measurer;
  readonly server: Measurer;
}

const PARTS: Readonly<Record<string, (scene: Scene) => Promise<Result[]>>> = {
  'start-up': startUp,
  install: ({ world, device, server }) => measureInstalling(world, device, server),
  tunnel,
  package: measurePackage,
  fleet: measureFleet,
};

/** The part that has labs and tables of its own. */
const RECOVERY = 'recovery';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false }, 'give-up': { type: 'string' }, only: { type: 'string', multiple: true, default: [] } },
});
const known = [...Object.keys(PARTS), RECOVERY];
const unknown = positionals.filter((name) => !known.includes(name));
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${known.join(', ')}`);
const isWanted = (name: string) => positionals.length === 0 || positionals.includes(name);
const parts = Object.entries(PARTS).filter(([name]) => isWanted(name));
if (values.write && (values.quick || values.only.length > 0 || (parts.length > 0 && parts.length < Object.keys(PARTS).length))) {
  throw new Error(`--write tells of a whole run: name no part but ${RECOVERY}, and leave --quick and --only out`);
}
const missing = missingRequirements();
if (missing.length > 0) {
  throw new Error(`the lab cannot run here:\n${missing.map(({ reason }) => `- ${reason}\n`).join('')}${installCommand(missing) ?? ''}`);
}

const args = process.argv.slice(2);
const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
try {
  if (parts.length > 0) await measureParts();
  if (isWanted(RECOVERY)) await measureRecoveries();
} finally {
  await disposeAll();
}
// The agents' pipes would keep this process.
process.exit();

async function measureParts(): Promise<void> {
  const began = new Date();
  const machine = await describeMachine();
  const results: Result[] = [];
  const world = await makeWorld();
  // As on a server that is in use: no login has to wait for a user manager.
  await world.server.succeed(['loginctl', 'enable-linger', 'pi']);
  const scene: Scene = { world, device: await startMeasurer(world.device), server: await startMeasurer(world.server) };
  for (const [name, measure] of parts) {
    console.error(`measuring: ${name}`);
    results.push(...(await measure(scene)));
  }
  await world.dispose();
  const text = report(command, machine, results, began, new Date());
  console.log(text);
  if (values.write) writeReport('measured', text);
}

async function measureRecoveries(): Promise<void> {
  const began = new Date();
  const machine = await describeMachine();
  console.error(`measuring: ${RECOVERY}`);
  const found = await measureRecovery({ ...values, ...(values['give-up'] !== undefined && { giveUp: Number(values['give-up']) }) });
  const text = `${circumstances(command, machine, began, new Date())}\n\n${reportRecovery(found)}`;
  console.log(text);
  if (values.write) writeReport('recovery', text);
}

async function startUp({ world, device, server }: Scene): Promise<Result[]> {
  const install = ['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint];
  const { code, stderr } = await world.revtun(install);
  if (code !== 0) throw new Error(`install: exit code ${code}\n${stderr}`);
  const found = await measureStartUp(device, install);
  await world.revtun(['uninstall', '--all']);
  await server.call('untilClosed', 22222, 10_000);
  return found;
}

async function tunnel({ world, device, server }: Scene): Promise<Result[]> {
  const { aes } = await readFacts(local, whoAmI());
  const tunnels = await openTunnels(world, device, server);
  const idle = await measureMemory(world.device, tunnels, 'when idle');
  const throughput = await measureThroughput(world, device, server, tunnels, aes);
  return [...throughput, ...idle, ...(await measureMemory(world.device, tunnels, 'after gigabytes of traffic'))];
}
