import { listeningPorts } from '../../checks/listening.ts';
import { cancelled } from '../../errors.ts';
import * as questions from '../../input/questions.ts';
import { forwardsOf } from '../../input/resolve.ts';
import type { Endpoint, Forward } from '../../tunnel/forward.ts';
import { type Risk, risksOf } from '../../tunnel/tunnel.ts';
import type { Talk } from './talk.ts';

/** Decides what of this machine is shown, at which ports of the server, and to whom; asks nothing twice. */
export async function chooseForwards(talk: Talk): Promise<void> {
  const given = talk.draft;
  if (given.remoteForward || given.localForward || given.dynamicForward) return;
  talk.targets = given.localHost === undefined && given.localPort === undefined
    ? await questions.targets(talk.ask, await listeningPorts(talk.machine))
    : [{ host: given.localHost ?? 'localhost', port: given.localPort ?? 22 }];
  talk.remotePorts = await choosePorts(talk, talk.targets, given.remotePort);
  talk.bind = given.bind ?? (await chooseAudience(talk, talk.remotePorts));
  const { remotePort: _port, localHost: _host, localPort: _target, bind: _bind, ...rest } = talk.draft;
  talk.draft = { ...rest, remoteForward: forwardsFrom(talk.targets, talk.remotePorts, talk.bind) };
}

async function choosePorts({ ask }: Talk, targets: readonly Endpoint[], given?: number): Promise<number[]> {
  const ports: number[] = [];
  for (const target of targets) ports.push((ports.length === 0 ? given : undefined) ?? (await questions.remotePort(ask, target, ports)));
  return ports;
}

async function chooseAudience(talk: Talk, ports: readonly number[]): Promise<string> {
  if ((await questions.audience(talk.ask, ports)) === 'server') return '127.0.0.1';
  acceptRisk(talk, 'public');
  return '*';
}

const forwardsFrom = (targets: readonly Endpoint[], ports: readonly number[], host: string): Forward[] =>
  targets.map((target, at) => ({ kind: 'remote', listen: { host, port: ports[at]! }, target }));

/** Asks for another port for one of the chosen targets. */
export async function changePort(talk: Talk, at: number): Promise<void> {
  const { ask, targets = [], remotePorts = [], bind = '127.0.0.1' } = talk;
  const others = remotePorts.filter((_, index) => index !== at);
  talk.remotePorts = remotePorts.with(at, await questions.remotePort(ask, targets[at]!, others, remotePorts[at]));
  talk.draft = { ...talk.draft, remoteForward: forwardsFrom(targets, talk.remotePorts, bind) };
}

/** What is risky and came with flags is said out loud and confirmed here, and not at the end. */
export async function acceptRisks(talk: Talk): Promise<void> {
  for (const { risk, why } of risksOf({ forwards: forwardsOf(talk.draft) })) {
    if (talk.draft.acceptRisk?.includes(risk)) continue;
    if (!(await questions.risk(talk.ask, why))) throw cancelled();
    acceptRisk(talk, risk);
  }
}

export function acceptRisk(talk: Talk, risk: Risk): void {
  talk.draft = { ...talk.draft, acceptRisk: [...(talk.draft.acceptRisk ?? []), risk] };
}
