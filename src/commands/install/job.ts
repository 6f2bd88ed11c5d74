import type { Facts } from '../../checks/facts.ts';
import type { Workbench } from '../../checks/workbench.ts';
import type { Draft } from '../../input/fields.ts';
import type { Present } from '../../plan/present.ts';
import type { KeyPair } from '../../tunnel/key.ts';
import type { Tunnel } from '../../tunnel/tunnel.ts';
import type { Installed } from '../../unit/installed.ts';
import type { Places } from '../../unit/places.ts';
import type { Context } from '../context.ts';

/** What the wizard, or an install with the server's end, hands over besides the draft. */
export interface Prepared {
  /** A key that was made, and perhaps put on the server already, but is nowhere on this machine yet. */
  readonly newKey?: KeyPair & { readonly path: string };
  /** Shows the plan to a person; throws when it is not wanted. */
  readonly confirmPlan?: (titles: readonly string[], unit: string) => Promise<void>;
  /** What has to be done on the server before the tunnel can be tried. */
  readonly serverEnd?: {
    readonly titles: readonly string[];
    /** Carries it out, or throws and leaves nothing of it. */
    readonly apply: () => Promise<void>;
  };
}

export interface Key {
  /** Where it lies for now. */
  readonly path: string;
  readonly publicKey: string;
  /** Set when it has yet to be put in place. */
  readonly made?: KeyPair;
}

/** Everything that one installation is decided by. */
export interface Job extends Context {
  readonly facts: Facts;
  readonly draft: Draft;
  readonly prepared: Prepared;
  readonly existing: Installed | undefined;
  readonly tunnel: Tunnel;
  readonly places: Places;
  readonly present: Present;
  readonly lingering: boolean;
  readonly key: Key;
  readonly bench: Workbench;
}
