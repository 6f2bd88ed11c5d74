import { publicKeyOf } from '../checks/key.ts';
import { isFault, type Proof, proveTunnel } from '../checks/verify.ts';
import type { Forward } from '../tunnel/forward.ts';
import { remoteForwards } from '../tunnel/tunnel.ts';
import { change, systemctlLine } from './cures.ts';
import { fault, type Observation, sound, unsure } from './observation.ts';
import type { Part, Patient } from './patient.ts';
import { atServer, glance, untilDecided } from './seat.ts';
import { linkOf } from './story.ts';
import { nothingCure } from './targetPart.ts';
import { fightOver } from './twoDevices.ts';

/** Milliseconds: a restart and its logins. */
const RESTARTING = 2000;

/** Connects to each forward from the server's side. A fault is looked at twice. */
export const farEndPart: Part = async function* (patient) {
  const { machine, tunnel } = patient;
  if (!(await publicKeyOf(machine, tunnel.identityFile).catch(() => undefined))) {
    yield unsure('far end', 'the key is not yours to use, so what comes back is not known: try with sudo');
    return true;
  }
  for (const forward of remoteForwards(tunnel)) {
    const proof = await proveTwice(patient, forward);
    const rival = proof && isTrouble(proof) ? await fightOver(patient).catch(unlessLate(patient, undefined)) : undefined;
    const seen = rival ?? (proof ? await told(patient, forward, proof) : unsure('far end', 'the tunnel was restarted while it was looked at'));
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
  // Once the time is over nothing can be looked at any more, and what was seen is known all the same.
  const second = await prove().catch(unlessLate(patient, first));
  return second.proof && (second.isSteady || !isTrouble(second.proof)) ? second.proof : undefined;
}

const unlessLate = <T>({ signal }: Patient, otherwise: T) => (error: unknown): T => {
  if (!signal.aborted) throw error;
  return otherwise;
};

const LINKS: Readonly<Record<string, string>> = { 'not-permitted-here': 'target', 'nothing-here': 'target' };

async function told(patient: Patient, forward: Forward, proof: Proof): Promise<Observation> {
  const { finding, says } = proof;
  if (finding === 'not-provable') return unsure('far end', says);
  if (!isTrouble(proof)) return sound('far end', says);
  const check = LINKS[finding] ?? (linkOf(finding) === 'bind' ? 'bind' : 'far end');
  return fault(check, finding, `-R ${proof.forward}: ${says}.`, await cure(patient, forward, finding).catch(unlessLate(patient, '')));
}

async function cure(patient: Patient, { listen, target }: Forward, finding: Proof['finding']): Promise<string> {
  const port = 'port' in listen ? listen.port : 0;
  const anew = `Then let the tunnel begin anew:\n${systemctlLine(patient, 'restart')}`;
  const onServer = (command: string) => `On the server:\n  ${command}`;
  switch (finding) {
    case 'made-public': return `${onServer('sudo sshd -T | grep -i gatewayports')}\nMake it "no" or "clientspecified" in /etc/ssh/sshd_config, and: sudo systemctl reload ssh (RHEL: sshd)\n${anew}\nIf everyone is meant to reach it:\n${change(patient, '--remote-port', String(port), '--bind', '*', '--accept-risk=public')}`;
    case 'made-loopback': return `${onServer('sudo sshd -T | grep -i gatewayports')}\nMake it "clientspecified" in /etc/ssh/sshd_config, and: sudo systemctl reload ssh (RHEL: sshd)\n${anew}`;
    case 'firewalled': return `${onServer(`sudo ufw allow ${port}/tcp`)}\n(firewalld: sudo firewall-cmd --permanent --add-port=${port}/tcp && sudo firewall-cmd --reload.) What rules there are:\n  sudo nft list ruleset\nIf it is its provider's, in the provider's console.`;
    case 'not-permitted-here':
      // A user's service manager may not add groups to what it starts.
      if (patient.installed.scope === 'user') return `Put ${patient.who.userName} into the socket's group, and let the service manager begin anew with it:\n  sudo usermod -aG GROUP ${patient.who.userName}\n  sudo systemctl restart user@${patient.who.uid}.service`;
      return `Give the service the socket's group (SupplementaryGroups= in [Service]):\n${systemctlLine(patient, 'edit')}\n${anew}`;
    case 'nothing-here': return target === 'socks' ? 'What listens on this machine:\n  sudo ss -ltnp' : nothingCure(patient, target);
    case 'wrong-machine': return `${onServer(`sudo ss -ltnp 'sport = :${port}'; sudo nft list ruleset`)}\nIf it is not the tunnel's sshd that listens there, end the other, or take another port:\n${change(patient, '--remote-port', 'PORT')}`;
    case 'no-listener': return `${onServer(`sudo ss -ltnp 'sport = :${port}'; sudo nft list ruleset`)}\nA firewall there may keep even its own connections out. ${anew}`;
    default: return `${onServer(`sudo ss -ltnp 'sport = :${port}'`)}\nAnd here, whether the target answers at all. ${anew}`;
  }
}
