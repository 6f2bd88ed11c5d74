import { setTimeout as sleep } from 'node:timers/promises';
import { dialable } from '../checks/localTarget.ts';
import type { DialResult, Machine } from '../machine/machine.ts';
import { type Endpoint, formatEndpoint, isLoopback } from '../tunnel/forward.ts';
import { remoteForwards } from '../tunnel/tunnel.ts';
import { change } from './cures.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';

/** Milliseconds for the first words of an sshd, and of anything else, which may well have none. */
const [FOR_SSHD, FOR_OTHERS] = [5000, 1500];

/** Milliseconds to reach another machine: its name, and a packet that got lost (Linux asks again after 1 s and 3 s). */
const TO_ELSEWHERE = 5000;

/** Milliseconds before the second look and for it: a service may just be restarting, and all of the doctor has its time. */
const [PAUSE, SECOND_LOOK] = [500, 2500];

/** Whether anything is at the local end of the forwards. */
export const targetPart: Part = async function* (patient) {
  const targets = new Map(remoteForwards(patient.tunnel).flatMap(({ target }) => (target === 'socks' ? [] : [[formatEndpoint(target), target] as const])));
  const seen = await Promise.all([...targets].map(([name, target]) => lookAtTarget(patient, name, target)));
  yield* seen;
  return !seen.some(({ level }) => level === 'fault');
};

async function lookAtTarget(patient: Patient, name: string, target: Endpoint): Promise<Observation> {
  const isSsh = 'port' in target && target.port === 22;
  const dialled = await dialTwice(patient.machine, target, isSsh ? FOR_SSHD : FOR_OTHERS);
  switch (dialled.outcome) {
    case 'connected':
      if (!isSsh || dialled.banner !== '') return sound('target', `${name} answers${dialled.banner.startsWith('SSH-') ? ` (${dialled.banner.split('\n')[0]!.trim()})` : ''}`);
      return fault('target', 'target-mute', `${name} takes the connection, and says nothing: its sshd is stuck.`, await muteCure(patient.machine, target));
    case 'closed': return sound('target', `${name} takes connections`);
    case 'forbidden': return unsure('target', `${name} may not be opened by ${patient.who.userName}`);
    default: return fault('target', 'nothing-here', isHere(target)
      ? `Nothing listens at ${name} on this machine, where the tunnel leads (${dialled.reason}).`
      : `${name}, where the tunnel leads, cannot be reached from this machine (${dialled.reason}).`, await nothingCure(patient, target));
  }
}

async function dialTwice(machine: Machine, target: Endpoint, firstWords: number): Promise<DialResult> {
  const end = dialable(target);
  const first = await machine.dial(end, isHere(target) ? firstWords : TO_ELSEWHERE, firstWords);
  if (first.outcome !== 'refused' && first.outcome !== 'timeout' && first.outcome !== 'unreachable') return first;
  await sleep(PAUSE);
  return machine.dial(end, SECOND_LOOK, firstWords);
}

/** Whether the target is this machine itself, and not another in its network. */
const isHere = (target: Endpoint) => 'path' in target || target.host === undefined || isLoopback(target.host);

/** What brings a target back that nobody listens at. */
export async function nothingCure(patient: Patient, target: Endpoint): Promise<string> {
  if ('path' in target) return 'Start the program that should listen there. What listens now:\n  sudo ss -lxp';
  const { host = 'localhost', port } = target;
  if (!isHere(target)) return `See whether its name resolves, and whether it is on:\n  getent ahosts -- ${host}\n  ping -c 3 -- ${host}\nIf it is, the program there has to listen at port ${port} of that address, and its firewall to let this machine in. To lead the tunnel elsewhere:\n${change(patient, '--remote-port', 'PORT', '--local-host', 'HOST', '--local-port', 'HOSTPORT')}`;
  if (port !== 22) return 'Start the program that should listen there. What listens now:\n  sudo ss -ltnp';
  return `Start its ssh server (or install it: apt-get install openssh-server; RHEL: dnf install openssh-server):\n  sudo systemctl enable --now ${await sshdUnit(patient.machine)}`;
}

async function muteCure(machine: Machine, target: Endpoint): Promise<string> {
  if (!isHere(target) && 'host' in target) return `See how it is, at ${target.host} itself, and restart it (connections that stand go on):\n  systemctl status ssh\n  sudo systemctl restart ssh\n(RHEL: sshd.)`;
  const unit = await sshdUnit(machine);
  return `See how it is, and restart it (connections that stand go on):\n  systemctl status ${unit}\n  sudo systemctl restart ${unit}`;
}

/** What this machine calls sshd's service: `ssh` where it is Debian's, `sshd` elsewhere. */
async function sshdUnit(machine: Machine): Promise<string> {
  const { stdout } = await machine.run(['systemctl', 'show', '-p', 'LoadState', '--value', 'ssh.service', 'sshd.service'], { timeoutMs: 2000 });
  const [ssh, sshd] = stdout.split(/\n+/);
  return ssh !== 'loaded' && sshd === 'loaded' ? 'sshd' : 'ssh';
}
