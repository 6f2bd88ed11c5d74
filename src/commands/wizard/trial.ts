import { isTaken, tryTunnel } from '../../checks/trial.ts';
import { ExpectedError, failed } from '../../errors.ts';
import * as questions from '../../input/questions.ts';
import { forwardsOf, scopeOf } from '../../input/resolve.ts';
import { formatForward } from '../../tunnel/forward.ts';
import { remoteForwards, serverOf } from '../../tunnel/tunnel.ts';
import { findInstalled } from '../../unit/installed.ts';
import { letLineBePasted, putLineThere } from './line.ts';
import { acceptRisk, changePort } from './ports.ts';
import { atBench, outline, type Talk } from './talk.ts';

/** Asks the server for every forward, for a moment: a port that is taken shows now and not at the end. */
export async function tryForwards(talk: Talk): Promise<void> {
  const held = await heldHere(talk);
  for (let at = 0; ;) {
    const forward = remoteForwards({ forwards: forwardsOf(talk.draft) })[at];
    if (forward === undefined) return;
    const trouble = await whyRefused(talk, () =>
      atBench(talk, (probe) => tryTunnel({ ...probe, tunnel: { ...probe.tunnel, forwards: [forward] } }, talk.key!.publicKey, held)));
    if (trouble === undefined) at += 1;
    else await mend(talk, trouble, at);
  }
}

async function whyRefused(talk: Talk, ask: () => Promise<{ exposed: readonly string[] }>): Promise<ExpectedError | undefined> {
  const outcome = await ask().catch((error: unknown) => {
    // Forwards that came with flags are not for us to change.
    if (talk.signal.aborted || talk.targets === undefined || !(error instanceof ExpectedError)) throw error;
    return error;
  });
  if (outcome instanceof ExpectedError) return outcome;
  if (outcome.exposed.length > 0) await acceptExposure(talk);
  return undefined;
}

async function mend(talk: Talk, trouble: ExpectedError, at: number): Promise<void> {
  questions.tellTrouble(talk.ask, trouble);
  switch (isTaken(trouble) || trouble.id === 'port-privileged' ? 'port' : await questions.howToGetPort(talk.ask)) {
    case 'port':
      await changePort(talk, at);
      // A line of ours that names the old port would refuse the new one.
      if (talk.appended !== undefined && talk.restricted === true) await putLineThere(talk);
      return undefined;
    case 'password': return putLineThere(talk);
    case 'paste': return letLineBePasted(talk);
    case 'again': return undefined;
  }
}

/** GatewayPorts yes on the server makes every listener public, whatever is asked for. */
async function acceptExposure(talk: Talk): Promise<void> {
  if (talk.draft.acceptRisk?.includes('public') === true) return;
  const server = serverOf(await outline(talk));
  if (await questions.exposure(talk.ask, server)) return acceptRisk(talk, 'public');
  throw failed('made-public', `${server} would let everyone reach the port.`, 'Set GatewayPorts to no or clientspecified in its sshd_config, then run this again.');
}

/** Forwards of an installed tunnel of the name that the flags say: asking for them again would collide. */
async function heldHere({ machine, who, draft }: Talk): Promise<ReadonlySet<string>> {
  const installed = draft.name === undefined ? [] : await findInstalled(machine, scopeOf(draft, who), who);
  return new Set(installed.find(({ name }) => name === draft.name)?.tunnel?.forwards.map(formatForward));
}
