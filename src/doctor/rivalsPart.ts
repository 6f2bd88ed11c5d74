import { basename } from 'node:path';
import type { Machine } from '../machine/machine.ts';
import { formatForward, type Forward, isLoopback, parseForward } from '../tunnel/forward.ts';
import { hostOf, splitSshWords } from '../tunnel/sshWords.ts';
import { remoteForwards } from '../tunnel/tunnel.ts';
import { findInstalled, type Installed } from '../unit/installed.ts';
import { line, revtun, systemctlLine } from './cures.ts';
import { fault, sound } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { readState } from './state.ts';

/** Who else on this machine asks the same server for the same port: only one of them can have it. */
export const rivalsPart: Part = async function* (patient) {
  const { tunnel } = patient;
  const shared = await otherTunnel(patient);
  if (shared) {
    yield fault('rivals', 'port-shared-here', `Another tunnel here, ${shared.tunnel.name} (${shared.tunnel.scope}), asks ${tunnel.host} for the same -R ${formatForward(shared.forward)}.`,
      `Give one of them another port, or take one away:\n${revtun(patient, 'install', '--remote-port')} …\n${revtun({ ...patient, installed: shared.tunnel }, 'uninstall')}`);
    return false;
  }
  const rival = await otherProcess(patient);
  if (rival) {
    yield fault('rivals', 'rival-ssh', `Process ${rival.pid} on this machine asks ${tunnel.host} for the same port: ${rival.command}`,
      `End what starts it (a crontab, an rc.local, a service of your own), and then it:\n  ps -o pid,ppid,lstart,args -p ${rival.pid}\n${line(patient, ['kill', rival.pid])}\nThen:\n${systemctlLine(patient, 'restart')}`);
    return false;
  }
  yield sound('rivals', 'nothing else here asks the server for its port');
  return true;
};

async function otherTunnel(patient: Patient): Promise<{ tunnel: Installed; forward: Forward } | undefined> {
  const { machine, who, installed, tunnel } = patient;
  const all = (await Promise.all((['system', 'user'] as const).map((scope) => findInstalled(machine, scope, who)))).flat();
  for (const other of all) {
    if (other.places.unitFile === installed.places.unitFile || other.tunnel?.host.toLowerCase() !== tunnel.host.toLowerCase()) continue;
    const forward = remoteForwards(other.tunnel).find((one) => remoteForwards(tunnel).some((own) => collide(one, own)));
    if (!forward) continue;
    const found = await readState(machine, who, other).catch(() => undefined);
    if (found && (found.enabled || found.state === 'up' || found.state === 'connecting')) return { tunnel: other, forward };
  }
  return undefined;
}

interface Rival {
  readonly pid: string;
  readonly command: string;
}

async function otherProcess({ machine, tunnel }: Patient): Promise<Rival | undefined> {
  const pids = (await machine.list('/proc')).filter((name) => /^\d+$/.test(name));
  const asking = (await Promise.all(pids.map(async (pid) => {
    // A process may end while it is looked at, or not be for our eyes.
    const argv = (await machine.read(`/proc/${pid}/cmdline`).catch(() => undefined))?.toString().split('\0').slice(0, -1) ?? [];
    const server = whomItAsks(argv, remoteForwards(tunnel));
    return server === undefined ? [] : [{ pid, command: argv.join(' '), server }];
  }))).flat();
  for (const rival of asking) if (await isSameServer(machine, rival.server, tunnel.host)) return rival;
  return undefined;
}

/** By name, or by an address that both names have. */
async function isSameServer(machine: Machine, one: string, other: string): Promise<boolean> {
  if (one.toLowerCase() === other.toLowerCase()) return true;
  const [a, b] = await Promise.all([one, other].map(async (name) => {
    const { stdout } = await machine.run(['getent', 'ahosts', '--', name], { timeoutMs: 2000 });
    return stdout.split('\n').map((row) => row.split(/\s/)[0]).filter((address) => address !== '');
  }));
  return a!.some((address) => b!.includes(address));
}

/** Configurations of ours: installed, and those of the checks that another run makes at this moment. */
const OURS = /\/revtun\/[^/]+\/ssh_config$|\/revtun-\d+-\w{6}\/ssh_config$/;

/** The server that an ssh (or autossh) of somebody else's asks for a listener that collides with one of these; undefined for any other process. */
export function whomItAsks(argv: readonly string[], own: readonly Forward[]): string | undefined {
  const program = basename(argv[0] ?? '');
  if (program !== 'ssh' && program !== 'autossh') return undefined;
  try {
    const { options, destination } = splitSshWords(program === 'ssh' ? argv.slice(1) : sshWordsOf(argv.slice(1)));
    const given = (letter: string) => options.filter((option) => option.letter === letter).map(({ argument }) => argument);
    if (given('F').some((file) => OURS.test(file)) || destination === undefined) return undefined;
    const server = given('o').map((option) => /^\s*hostname[\s=]+(\S+)/i.exec(option)?.[1]).find((value) => value !== undefined) ?? hostOf(destination);
    const specs = [...given('R'), ...given('o').flatMap((option) => /^\s*remoteforward[\s=]+(\S+)(?:\s+(\S+))?/i.exec(option)?.slice(1, 3).filter(Boolean).join(':') ?? [])];
    return specs.some((spec) => own.some((forward) => collide(parseForward('remote', spec), forward))) ? server : undefined;
  } catch {
    // Words that ssh itself would not take are no rival's.
    return undefined;
  }
}

/** autossh's own -M PORT; ssh's -M takes no argument. */
function sshWordsOf(words: readonly string[]): string[] {
  const at = words.findIndex((word) => word.startsWith('-M'));
  if (at === -1) return [...words];
  return words.toSpliced(at, words[at] === '-M' ? 2 : 1);
}

/** Two listeners that one server cannot have both. */
function collide({ listen: a }: Forward, { listen: b }: Forward): boolean {
  if ('path' in a || 'path' in b) return 'path' in a && 'path' in b && a.path === b.path;
  if (a.port !== b.port || a.port === 0) return false;
  const [one, other] = [a.host, b.host].map((host) => (host === undefined || isLoopback(host) ? 'loopback' : host));
  return one === other || one === '*' || other === '*';
}
