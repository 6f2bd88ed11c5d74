import { publicKeyOf } from '../checks/key.ts';
import { dialable, isFault, type Proof, proveTunnel } from '../checks/verify.ts';
import { formatEndpoint, type Forward } from '../tunnel/forward.ts';
import { remoteForwards } from '../tunnel/tunnel.ts';
import { revtun, systemctlLine } from './cures.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { atServer, glance, untilDecided } from './seat.ts';
import { linkOf } from './story.ts';
import { fightOver } from './twoDevices.ts';

/** Milliseconds for the first words of a local sshd, and of anything else, which may well have none. */
const [FOR_SSHD, FOR_OTHERS] = [5000, 1500];

/** Milliseconds: a restart and its logins. */
const RESTARTING = 2000;

/** Whether anything is at the local end of the forwards. */
export const targetPart: Part = async function* (patient) {
  const targets = new Map(remoteForwards(patient.tunnel).flatMap(({ target }) => (target === 'socks' ? [] : [[formatEndpoint(target), target] as const])));
  const seen = await Promise.all([...targets].map(([name, target]) => lookAtTarget(patient, name, target)));
  yield* seen;
  return !seen.some(({ level }) => level === 'fault');
};

async function lookAtTarget({ machine, who }: Patient, name: string, target: Exclude<Forward['target'], 'socks'>): Promise<Observation> {
  const isSsh = 'port' in target && target.port === 22;
  const dialled = await machine.dial(dialable(target), isSsh ? FOR_SSHD : FOR_OTHERS);
  switch (dialled.outcome) {
    case 'connected':
      if (!isSsh || dialled.banner !== '') return sound('target', `${name} answers${dialled.banner.startsWith('SSH-') ? ` (${dialled.banner.split('\n')[0]!.trim()})` : ''}`);
      return fault('target', 'target-mute', `${name} takes the connection, and says nothing: its sshd is stuck.`, 'See how it is, and restart it (connections that stand go on):\n  systemctl status ssh\n  sudo systemctl restart ssh');
    case 'closed': return sound('target', `${name} takes connections`);
    case 'forbidden': return unsure('target', `${name} may not be opened by ${who.userName}`);
    default: return fault('target', 'nothing-here', `Nothing listens at ${name} on this machine, where the tunnel leads (${dialled.reason}).`, isSsh ? 'Start its ssh server (or install it: apt-get install openssh-server):\n  sudo systemctl enable --now ssh' : `Start the program that should listen there. What listens now:\n  sudo ss -ltnp`);
  }
}

/** Connects to each forward from the server's side. A fault is looked at twice. */
export const farEndPart: Part = async function* (patient) {
  const { machine, tunnel } = patient;
  if (!(await publicKeyOf(machine, tunnel.identityFile).catch(() => undefined))) {
    yield unsure('far end', 'the key is not yours to use, so what comes back is not known: try with sudo');
    return true;
  }
  for (const forward of remoteForwards(tunnel)) {
    const proof = await proveTwice(patient, forward);
    const seen = proof && isTrouble(proof) ? ((await fightOver(patient)) ?? told(patient, forward, proof)) : proof ? told(patient, forward, proof) : unsure('far end', 'the tunnel was restarted while it was looked at');
    yield seen;
    if (seen.level === 'fault') return false;
  }
  return true;
};

/** An install may end with it; to somebody who asks what is wrong, it is. */
const isTrouble = (proof: Proof) => isFault(proof) || proof.finding === 'nothing-here';

/** @returns undefined when the service has been restarted each time */
async function proveTwice(patient: Patient, forward: Forward): Promise<Proof | undefined> {
  const { machine, who, tunnel } = patient;
  const prove = async () => {
    const before = await untilDecided(patient, RESTARTING);
    const [proof] = await atServer(patient, true, ({ bench, pinned }) => proveTunnel(machine, who, { ...tunnel, forwards: [forward] }, bench, pinned));
    return { proof, isSteady: before.state === 'up' && (await glance(patient)).moment === before.moment };
  };
  const first = await prove();
  if (first.proof && !isTrouble(first.proof)) return first.proof;
  const second = await prove();
  return second.proof && (second.isSteady || !isTrouble(second.proof)) ? second.proof : undefined;
}

const LINKS: Readonly<Record<string, string>> = { 'not-permitted-here': 'target', 'nothing-here': 'target' };

function told(patient: Patient, forward: Forward, proof: Proof): Observation {
  const { finding, says } = proof;
  if (finding === 'not-provable') return unsure('far end', says);
  if (!isTrouble(proof)) return sound('far end', says);
  const check = LINKS[finding] ?? (linkOf(finding) === 'bind' ? 'bind' : 'far end');
  return fault(check, finding, `-R ${proof.forward}: ${says}.`, cure(patient, forward, finding));
}

function cure(patient: Patient, { listen }: Forward, finding: Proof['finding']): string {
  const port = 'port' in listen ? listen.port : 0;
  const anew = `Then let the tunnel begin anew:\n${systemctlLine(patient, 'restart')}`;
  const onServer = (command: string) => `On the server:\n  ${command}`;
  switch (finding) {
    case 'made-public': return `${onServer('sudo sshd -T | grep -i gatewayports')}\nMake it "no" or "clientspecified" in /etc/ssh/sshd_config, and: sudo systemctl reload ssh\n${anew}\nIf everyone is meant to reach it:\n${revtun(patient, 'install', '--bind', '*', '--accept-risk=public')}`;
    case 'made-loopback': return `${onServer('sudo sshd -T | grep -i gatewayports')}\nMake it "clientspecified" in /etc/ssh/sshd_config, and: sudo systemctl reload ssh\n${anew}`;
    case 'not-permitted-here': return `Give the service the socket's group (SupplementaryGroups= in [Service]):\n${systemctlLine(patient, 'edit')}\n${anew}`;
    case 'nothing-here': return 'What listens on this machine:\n  sudo ss -ltnp';
    case 'wrong-machine': return `${onServer(`sudo ss -ltnp 'sport = :${port}'; sudo nft list ruleset`)}\nIf it is not the tunnel's sshd that listens there, end the other, or take another port:\n${revtun(patient, 'install', '--remote-port', 'PORT')}`;
    case 'no-listener': return `${onServer(`sudo ss -ltnp 'sport = :${port}'; sudo nft list ruleset`)}\nA firewall there may keep even its own connections out. ${anew}`;
    default: return `${onServer(`sudo ss -ltnp 'sport = :${port}'`)}\nAnd here, whether the target answers at all. ${anew}`;
  }
}
