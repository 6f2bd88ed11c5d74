/**
 * `npm run e2e:releases`: the main e2e files with other Debians as the device and as the server, beside what CI runs of them
 * (releases.test.ts, serverReleases.test.ts). Builds first; takes about four minutes a pair. With --write, docs/benchmarks.md
 * tells the result. Names of files and `--pair DEVICE-SERVER` (as in `--pair 11-13`) limit it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from './bench/machineClass.ts';
import { circumstances, table, writeReport } from './bench/report.ts';
import { hasRelease, missingRequirements } from './lab/requirements.ts';
import type { Release } from './lab/disk.ts';
import { repositoryRoot } from './lab/paths.ts';

/** By Debian's number. The lab's own release is that of this machine: Debian 12 where it is developed. */
const RELEASES: Readonly<Record<string, Release>> = { 11: 'bullseye', 12: 'host', 13: 'trixie' };

/** Device and server. */
const PAIRS = ['11-11', '12-12', '13-13', '11-13', '13-11'];

/** Files that are not run for each pair, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  attack: 'boots all three as servers by itself, in CI',
  doctorHealthy: 'a long drill',
  doctorHere: 'a long drill',
  doctorThere: 'a long drill',
  doctorThereServer: 'a long drill',
  fleet: 'a long drill of many tunnels at once',
  installScript: 'is about installing this program, and boots Debian 12 and 13 by itself, in CI',
  liveness: 'a long drill',
  lockout: 'a long drill',
  notices: 'boots all three as devices by itself, in CI',
  releases: 'boots Debian 11 and 13 by itself, in CI',
  remote: 'boots all three as servers by itself, in CI',
  restore: 'boots all three as servers by itself, in CI',
  serverReleases: 'boots Debian 11 and 13 as servers by itself, in CI',
  serverScript: 'boots Debian 11 and 12 as servers by itself, in CI',
  throughItself: 'makes its faults with what systemd 247 does not run, and tmux',
};

const FILES = readdirSync(join(repositoryRoot, 'test/e2e')).filter((name) => name.endsWith('.test.ts')).map((name) => basename(name, '.test.ts')).filter((file) => LEFT_OUT[file] === undefined);

/** As jest writes it with --json. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly startTime: number;
    readonly endTime: number;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

interface Ran {
  readonly file: string;
  readonly passed: number;
  readonly failed: readonly string[];
  readonly seconds: number;
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: 'boolean', default: false }, pair: { type: 'string', multiple: true, default: PAIRS } } });
process.chdir(repositoryRoot);
const unknown = [...values.pair.filter((pair) => !PAIRS.includes(pair)), ...positionals.filter((file) => !FILES.includes(file))];
if (unknown.length > 0) throw new Error(`not known: ${unknown.join(', ')}; there are ${PAIRS.join(', ')} and ${FILES.join(', ')}`);
if (values.write && (positionals.length > 0 || values.pair !== PAIRS)) throw new Error('--write tells of a whole run: name neither files nor pairs');
const missing = [...missingRequirements().map(({ reason }) => reason), ...Object.values(RELEASES).filter((release) => !hasRelease(release)).map((release) => `no tree of ${release}: npm run lab:trees`)];
if (missing.length > 0) throw new Error(`the lab cannot run here:\n${missing.join('\n')}`);
if (spawnSync('npm', ['run', '--silent', 'build'], { stdio: ['ignore', 2, 2] }).status !== 0) throw new Error('the build failed');

const files = positionals.length > 0 ? positionals : FILES;
const began = new Date();
const machine = await describeMachine();
const results = values.pair.map((pair) => ({ pair, ran: runPair(pair) }));
const failures = results.flatMap(({ pair, ran }) => ran.flatMap(({ file, failed }) => failed.map((name) => `- ${arrow(pair)}, ${file}: ${name}`)));
const command = ['npm run e2e:releases', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ');
const text = [
  circumstances(command, machine, began, new Date()),
  table(['Debian: device → server', ...values.pair.map(arrow)], [...files.map((file) => [file, ...results.map(({ ran }) => cell(ran.find((one) => one.file === file)))]), ['all', ...results.map(({ ran }) => sum(ran))]]),
  failures.length === 0 ? 'None failed.' : `Failed:\n\n${failures.join('\n')}`,
  `Not run for each pair:\n\n${Object.entries(LEFT_OUT).map(([file, why]) => `- ${file}: ${why}`).join('\n')}`,
].join('\n\n');
console.log(text);
if (values.write) writeReport('releases', text);
process.exitCode = failures.length === 0 ? 0 : 1;

function runPair(pair: string): Ran[] {
  console.error(`Debian ${arrow(pair)}`);
  const folder = mkdtempSync(join(tmpdir(), 'e2e-releases-'));
  try {
    const [device, server] = pair.split('-').map((release) => RELEASES[release]!);
    const report = join(folder, 'report.json');
    const env = { ...process.env, REVTUN_TEST_DEVICE: device, REVTUN_TEST_SERVER: server };
    const words = ['run', '--silent', 'jest', '--', '--ci', '--json', `--outputFile=${report}`, ...files.map((file) => `test/e2e/${file}.test.ts`)];
    spawnSync('npm', words, { stdio: ['ignore', 2, 2], env, timeout: 3_600_000 });
    return (JSON.parse(readFileSync(report, 'utf8')) as Report).testResults.map(({ name, startTime, endTime, message, assertionResults }) => {
      const failed = assertionResults.filter(({ status }) => status !== 'passed').map(({ fullName, status }) => (status === 'failed' ? fullName : `${fullName} (${status})`));
      // A file that cannot even be read has no tests.
      const all = failed.length === 0 && message !== '' ? [message.split('\n')[0]!] : failed;
      return { file: basename(name, '.test.ts'), passed: assertionResults.length - failed.length, failed: all, seconds: Math.round((endTime - startTime) / 1000) };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function arrow(pair: string): string {
  return pair.replace('-', ' → ');
}

function cell(ran: Ran | undefined): string {
  if (!ran) return 'did not run';
  return `${ran.passed} passed${ran.failed.length === 0 ? '' : `, ${ran.failed.length} failed`}, ${ran.seconds} s`;
}

function sum(ran: readonly Ran[]): string {
  return cell({ file: 'all', passed: total(ran.map(({ passed }) => passed)), failed: ran.flatMap(({ failed }) => failed), seconds: total(ran.map(({ seconds }) => seconds)) });
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
