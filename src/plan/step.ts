import { commandLine } from '../shell.ts';

/**
 * One thing to do, as plain data: a plan is printed, run and undone from the same list. How each kind is undone
 * follows from the kind; only a command has to say it.
 */
export type Step =
  | { readonly kind: 'make-directory'; readonly path: string; readonly mode: number }
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly content: string;
      readonly mode: number;
      /** Makes a new content take effect; run after the write, and again after the old content is back. */
      readonly settle?: readonly string[];
      /** Has to succeed before it takes effect; not asked on the way back. */
      readonly guarded?: readonly string[];
      /** A later step of the plan settles it as well; only undoing has to. */
      readonly settledLater?: boolean;
    }
  | { readonly kind: 'remove'; readonly path: string; readonly settle?: readonly string[]; readonly guarded?: readonly string[] }
  | { readonly kind: 'remove-directory'; readonly path: string }
  | {
      readonly kind: 'run';
      readonly title: string;
      readonly argv: readonly string[];
      readonly undo?: readonly string[];
      /** It may end the very session that it is run from, and must not end with it. */
      readonly outlivesSession?: true;
      /** Succeeds when it is done already: for a script of the plan, which cannot look before it is made. */
      readonly unless?: readonly string[];
      /** What to tell when the command fails and the rest can go on without it. */
      readonly orElse?: string;
    }
  /** Nothing to do now, but the last thing to do if what follows has to be undone. */
  | { readonly kind: 'on-undo'; readonly argv: readonly string[] }
  /** Shows that the machine can still be logged in to, before what lets one in is given up for good. */
  | { readonly kind: 'new-login' };

/** What a reader of the plan sees of it. */
export const titlesOf = (steps: readonly Step[]) => steps.map(titleOf).filter((title) => title !== undefined);

/** The step in a line of words; undefined for what a reader of the plan has no use for. */
export function titleOf(step: Step): string | undefined {
  switch (step.kind) {
    case 'make-directory': return `make ${step.path}/`;
    case 'write': return `write ${step.path}`;
    case 'remove': return `remove ${step.path}`;
    case 'remove-directory': return `remove ${step.path}/ if empty`;
    case 'run': return `${step.title}: ${commandLine(step.argv)}`;
    case 'on-undo': return undefined;
    case 'new-login': return 'log in anew';
  }
}
