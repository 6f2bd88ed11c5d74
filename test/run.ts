/**
 * The test command, `npm test`: equips the machine, builds, checks, runs every test, and counts.
 * Arguments go on to jest: `npm test -- test/unit`. The last line is `N passed, N failed`; the exit code is 0 only if none failed.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { equip, lacking, missingTrees } from './equip.ts';
import { repositoryRoot } from './lab/paths.ts';
import { installCommand, type Missing } from './lab/requirements.ts';
import { fetchNodes, missingNodes } from './nodes.ts';

type Tally = { passed: number; failed: number; skipped: number };

const inCi = !['', 'false', undefined].includes(process.env['CI']);
const oneFailure: Tally = { passed: 0, failed: 1, skipped: 0 };

process.chdir(repositoryRoot);
const { passed, failed, skipped } = await runAll(process.argv.slice(2));
console.log(`${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
process.exitCode = failed === 0 ? 0 : 1;

async function runAll(args: readonly string[]): Promise<Tally> {
  if (process.getuid?.() === 0) equip();
  fetchNodes();
  const missing = lacking();
  const trees = missingTrees();
  const nodes = missingNodes();
  if (missing.length > 0) tellMissing(missing);
  if (trees.length > 0) console.error(`Tests that boot Debian ${trees.join(' or ')} will fail: as root, npm run lab:trees makes what they need.`);
  if (nodes.length > 0) console.error(`Tests on Node.js ${nodes.join(', ')} will fail: npm could not fetch them.`);
  if (inCi && missing.length + trees.length + nodes.length > 0) return oneFailure;
  for (const script of ['build', 'lint']) if (!npmRun(script)) return oneFailure;
  const leftOut = missing.length === 0 ? [] : await testsNeeding(missing);
  if (leftOut.length > 0) console.error(`Left out for that:\n${leftOut.map((path) => `  ${path}\n`).join('')}`);
  // This flag takes all the words that follow it.
  return runJest([...args, ...leftOut.map((path) => `--testPathIgnorePatterns=/${path}$`)]);
}

function tellMissing(missing: readonly Missing[]): void {
  console.error(`Not all tests can run here:\n${missing.map(({ reason }) => `  ${reason}\n`).join('')}`);
  const install = installCommand(missing);
  if (install !== undefined) console.error(`As root: apt-get update && ${install}`);
}

function npmRun(script: string, args: readonly string[] = []): boolean {
  console.error(`> npm run ${script}`);
  return spawnSync('npm', ['run', '--silent', script, '--', ...args], { stdio: ['ignore', 2, 2], timeout: 3_600_000 }).status === 0;
}

function runJest(args: readonly string[]): Tally {
  const folder = mkdtempSync(join(tmpdir(), 'test-report-'));
  try {
    const report = join(folder, 'report.json');
    const succeeded = npmRun('jest', ['--ci', '--json', `--outputFile=${report}`, ...args]);
    return tallyOf(JSON.parse(readFileSync(report, 'utf8')), succeeded);
  } catch (error) {
    console.error(`jest has left no report: ${(error as Error).message}`);
    return oneFailure;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Report = Record<'numPassedTests' | 'numFailedTests' | 'numPendingTests' | 'numTodoTests' | 'numRuntimeErrorTestSuites', number>;

function tallyOf(report: Report, succeeded: boolean): Tally {
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  // Whatever else jest complains of is a failure, too: nothing to run, a limit of coverage.
  return { passed: report.numPassedTests, failed: failed === 0 && !succeeded ? 1 : failed, skipped: report.numPendingTests + report.numTodoTests };
}

/** The test files that would miss it: told by what of the lab they import, however deeply. */
async function testsNeeding(missing: readonly Missing[]): Promise<string[]> {
  // Any program that child.ts runs may be of a missing package; the other modules do what only root may.
  const lacksPackages = missing.some(({ packages }) => packages.length > 0);
  const needed = lacksPackages ? /^test\/lab\/(child|disk|sockets)\.ts$/ : /^test\/lab\/(sandbox|disk|sockets)\.ts$/;
  const entryPoints = readdirSync('test', { recursive: true }).map((path) => `test/${String(path)}`).filter((path) => path.endsWith('.test.ts'));
  const { metafile } = await build({ entryPoints, bundle: true, packages: 'external', platform: 'node', format: 'esm', write: false, outdir: 'unused', metafile: true });
  return Object.values(metafile.outputs)
    .filter(({ inputs }) => Object.keys(inputs).some((path) => needed.test(path)))
    .flatMap(({ entryPoint }) => entryPoint ?? [])
    .toSorted();
}
