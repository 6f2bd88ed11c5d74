import type { Facts } from '../../checks/facts.ts';
import type { Probe } from '../../checks/throughTunnel.ts';
import { withWorkbench } from '../../checks/workbench.ts';
import { cancelled } from '../../errors.ts';
import type { Ask } from '../../input/ask.ts';
import type { Draft } from '../../input/fields.ts';
import * as questions from '../../input/questions.ts';
import { forwardsOf, resolveTunnel } from '../../input/resolve.ts';
import type { Endpoint } from '../../tunnel/forward.ts';
import type { KeyPair } from '../../tunnel/key.ts';
import type { Tunnel } from '../../tunnel/tunnel.ts';
import type { Context } from '../context.ts';
import type { Prepared } from '../install/job.ts';

/** The wizard's conversation so far. Steps read it, ask for what is missing, and write down the answer. */
export interface Talk extends Context {
  readonly facts: Facts;
  readonly ask: Ask;
  /** A private folder that is gone when the talk ends; a new key waits there. */
  readonly workshop: string;
  /** What is decided, by flags or by answers. */
  draft: Draft;
  /** The server as it was typed, and what ssh_config calls its keys. */
  server?: { readonly typed: string; readonly identityFiles: readonly string[] };
  /** The person wants nothing to do with the server's end. */
  declinedServerEnd?: true;
  /** Confirmed host keys, as known_hosts lines. */
  trusted: readonly string[];
  key?: { readonly path: string; readonly publicKey: string };
  /** Made in this talk, and nowhere else on this machine yet. */
  newKey?: KeyPair & { readonly path: string };
  /** Whether that one was chosen in the end. */
  usesNewKey: boolean;
  /** Whether the key's line on the server is to allow nothing but this tunnel. */
  restricted?: boolean;
  /** The line that was put on the server in this talk. */
  appended?: string;
  /** What this machine shows to the server, and at which ports; unset while the flags say it. */
  targets?: readonly Endpoint[];
  remotePorts?: readonly number[];
  bind?: string;
}

/** The tunnel as far as it is decided; what is not yet is filled in with what does no harm. */
export async function outline({ draft, machine, facts }: Talk): Promise<Tunnel> {
  const some = forwardsOf(draft).length > 0 ? {} : { remotePort: 22 };
  return (await resolveTunnel({ ...draft, ...some, generateKey: true }, machine, facts)).tunnel;
}

/** Works with the tunnel's own ssh, its key, and the host keys that were confirmed. */
export async function atBench<T>(talk: Talk, work: (probe: Probe) => Promise<T>): Promise<T> {
  const tunnel = await outline(talk);
  return withWorkbench(talk.machine, tunnel, talk.key?.path, talk.signal, async (bench) => {
    await bench.pin(talk.trusted);
    return work({ machine: talk.machine, who: talk.who, tunnel, bench, pinned: talk.trusted });
  });
}

/** Shows a plan, and goes on only if it is wanted. */
export const confirmPlan = ({ ask, draft }: Talk): NonNullable<Prepared['confirmPlan']> => async (titles, unit) => {
  questions.tellPlan(ask, titles, unit);
  if (draft.yes !== true && !(await questions.doIt(ask))) throw cancelled();
};
