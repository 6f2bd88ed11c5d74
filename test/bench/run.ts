/**
 * `npm run bench`: what this program costs and what its tunnels give, beside the plain things that it could be held against.
 * All of dist/ as it is; needs what the tests' lab needs. With --write, docs/benchmarks.md tells the numbers of this run.
 * Names of parts (start-up, install, tunnel, package) limit it to these.
 */
import { parseArgs } from 'node:util';
import { readFacts } from '../../src/checks/facts.ts';
import { local, whoAmI } from '../../src/machine/local.ts';
import { makeWorld, type World } from '../e2e/world.ts';
import { disposeAll } from '../lab/cleanup.ts';
import { installCommand, missingRequirements } from '../lab/requirements.ts';
import { measureInstalling } from './installing.ts';
import { describeMachine } from './machineClass.ts';
import { type Measurer, startMeasurer } from './measurer.ts';
import { measureMemory } from './memory.ts';
import { measurePackage } from './npmPackage.ts';
import { report, writeReport } from './report.ts';
import type { Result } from './result.ts';
import { measureStartUp } from './startUp.ts';
import { measureThroughput } from './throughput.ts';
import { openTunnels } from './tunnels.ts';

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
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: 'boolean', default: false } } });
const unknown = positionals.filter((name) => !(name in PARTS));
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);
if (values.write && positionals.length > 0) throw new Error('--write tells of a whole run: leave the names of parts out');
const missing = missingRequirements();
if (missing.length > 0) {
  throw new Error(`the lab cannot run here:\n${missing.map(({ reason }) => `- ${reason}\n`).join('')}${installCommand(missing) ?? ''}`);
}

const began = new Date();
const machine = await describeMachine();
const results: Result[] = [];
try {
  const world = await makeWorld();
  // As on a server that is in use: no login has to wait for a user manager.
  await world.server.succeed(['loginctl', 'enable-linger', 'pi']);
  const scene: Scene = { world, device: await startMeasurer(world.device), server: await startMeasurer(world.server) };
  for (const [name, measure] of Object.entries(PARTS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    console.error(`measuring: ${name}`);
    results.push(...(await measure(scene)));
  }
} finally {
  await disposeAll();
}
const args = process.argv.slice(2);
const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
const text = report(command, machine, results, began, new Date());
console.log(text);
if (values.write) writeReport(text);
// The agents' pipes would keep this process.
process.exit();

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
