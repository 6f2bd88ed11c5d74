import { readFacts } from '../../checks/facts.ts';
import { requireMachine } from '../../checks/preflight.ts';
import { cancelled } from '../../errors.ts';
import { openAsk } from '../../input/ask.ts';
import { installCommand } from '../../input/command.ts';
import type { Draft } from '../../input/fields.ts';
import * as questions from '../../input/questions.ts';
import { resolveTunnel, scopeOf } from '../../input/resolve.ts';
import { serverOf } from '../../tunnel/tunnel.ts';
import { narrow } from '../../wrap.ts';
import type { Context } from '../context.ts';
import { install } from '../install/install.ts';
import { chooseKey, getKeyAccepted } from './key.ts';
import { chooseName, chooseScope } from './place.ts';
import { acceptRisks, chooseForwards } from './ports.ts';
import { findServer } from './server.ts';
import { setUpBoth } from './serverEnd.ts';
import { confirmPlan, outline, type Talk } from './talk.ts';
import { tryForwards } from './trial.ts';

/** The talk after the server is found, in order. Each step asks only for what is still open, and fails where the answer shows to be wrong. */
const STEPS: readonly ((talk: Talk) => Promise<void>)[] = [
  chooseKey,
  getKeyAccepted,
  chooseForwards,
  acceptRisks,
  tryForwards,
  chooseScope,
  chooseName,
  carryOut,
];

/**
 * Asks a person for what the flags leave open, then installs. Nothing on this machine is touched before the plan is
 * confirmed: what has to be made for the talk lies in a folder that goes with it.
 */
export async function wizard(context: Context, draft: Draft): Promise<void> {
  const { machine, who, signal } = context;
  const facts = await readFacts(machine, who);
  requireMachine(facts, scopeOf(draft, who), context.typed);
  const workshop = await machine.temporaryDirectory();
  const talk: Talk = { ...context, facts, ask: openAsk(signal), workshop, draft, trusted: [], usesNewKey: false };
  try {
    questions.tellBeginning(talk.ask);
    await findServer(talk);
    while (talk.draft.serverAdmin) {
      if (await setUpBoth(talk)) return;
      await findServer(talk);
    }
    for (const step of STEPS) {
      if (signal.aborted) throw cancelled();
      await step(talk);
    }
  } catch (error) {
    if (talk.appended !== undefined) questions.tellLineStays(talk.ask, serverOf(await outline(talk)));
    throw error;
  } finally {
    await machine.removeTree(workshop);
  }
}

async function carryOut(talk: Talk): Promise<void> {
  const { ask, draft, machine, facts } = talk;
  ask.say('');
  // Before and not after: once all is done, nothing may fail any more.
  const { tunnel } = await resolveTunnel(draft, machine, facts);
  await install({ ...talk, output: narrow(talk.output) }, draft, {
    ...(talk.usesNewKey && talk.newKey && { newKey: talk.newKey }),
    confirmPlan: confirmPlan(talk),
  });
  talk.output.progress(questions.sameAsCommand(installCommand(tunnel, facts, draft.hostKey?.flatMap((key) => ['--host-key', key]))));
}
