import type { Machine } from '../machine/machine.ts';
import { formatForward, type Forward } from '../tunnel/forward.ts';
import { remoteForwards, type Tunnel } from '../tunnel/tunnel.ts';
import { findInstalledAnywhere, type Installed } from '../unit/installed.ts';
import { change, line, revtun, systemctlLine } from './cures.ts';
import { fault, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { type Asked, collide, hops, whomItAsks } from './rivalWords.ts';
import { readState } from './state.ts';

/** Who else on this machine asks the same server for the same port: only one of them can have it. */
export const rivalsPart: Part = async function* (patient) {
  const { tunnel } = patient;
  const shared = await otherTunnel(patient);
  if (shared) {
    yield fault('rivals', 'port-shared-here', `Another tunnel here, ${shared.tunnel.name} (${shared.tunnel.scope}), asks ${tunnel.host} for the same -R ${formatForward(shared.forward)}.`,
      `Give one of them another port, or take one away:\n${change(patient, '--remote-port', 'PORT')}\n${revtun({ ...patient, installed: shared.tunnel }, 'uninstall')}`);
    return false;
  }
  const rival = await otherProcess(patient);
  if (rival?.isSame === 'perhaps') {
    yield unsure('rivals', `Process ${rival.pid} on this machine may ask ${tunnel.host} for the same port; its words do not tell by which way: ${rival.command}`);
    return true;
  }
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
  for (const other of await findInstalledAnywhere(machine, who)) {
    if (other.places.unitFile === installed.places.unitFile || !other.tunnel || serverOf(other.tunnel) !== serverOf(tunnel)) continue;
    const forward = remoteForwards(other.tunnel).find((one) => remoteForwards(tunnel).some((own) => collide(one, own)));
    if (!forward) continue;
    const found = await readState(machine, who, other).catch(() => undefined);
    if (found && (found.enabled || found.state === 'up' || found.state === 'connecting')) return { tunnel: other, forward };
  }
  return undefined;
}

/** The same text for the same server, by the same way: one address can lead to several. */
const serverOf = ({ host, port, jump }: Tunnel) => [host.toLowerCase(), port, hops(jump)].join(' ');

interface Rival {
  readonly pid: string;
  readonly command: string;
  readonly isSame: 'yes' | 'perhaps';
}

async function otherProcess({ machine, tunnel }: Patient): Promise<Rival | undefined> {
  const pids = (await machine.list('/proc')).filter((name) => /^\d+$/.test(name));
  const asking = (await Promise.all(pids.map(async (pid) => {
    // A process may end while it is looked at, or not be for our eyes.
    const argv = (await machine.read(`/proc/${pid}/cmdline`).catch(() => undefined))?.toString().split('\0').slice(0, -1) ?? [];
    const asked = whomItAsks(argv, remoteForwards(tunnel));
    return asked === undefined ? [] : [{ pid, command: argv.join(' '), asked }];
  }))).flat();
  const found: Rival[] = [];
  for (const { asked, ...rival } of asking) {
    const isSame = await isSameServer(machine, asked, tunnel);
    if (isSame !== 'no') found.push({ ...rival, isSame });
  }
  return found.find(({ isSame }) => isSame === 'yes') ?? found[0];
}

/** By name, or, where nothing lies in between, by an address that both names have. */
export async function isSameServer(machine: Machine, { host, port, way }: Asked, tunnel: Tunnel): Promise<'yes' | 'no' | 'perhaps'> {
  if (way !== 'unknown' && way !== hops(tunnel.jump)) return 'no';
  if (typeof port === 'number' && port !== tunnel.port) return 'no';
  if (host.toLowerCase() !== tunnel.host.toLowerCase() && (way !== '' || !(await shareAddress(machine, host, tunnel.host)))) return 'no';
  // Another port than 22 may stand in its user's configuration.
  return way === 'unknown' || port === 'unknown' || (port === 'by default' && tunnel.port !== 22) ? 'perhaps' : 'yes';
}

async function shareAddress(machine: Machine, one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map(async (name) => {
    const { stdout } = await machine.run(['getent', 'ahosts', '--', name], { timeoutMs: 2000 });
    return stdout.split('\n').map((row) => row.split(/\s/)[0]).filter((address) => address !== '');
  }));
  return a!.some((address) => b!.includes(address));
}
