import { farEndPart } from './farEndPart.ts';
import { historyPart } from './historyPart.ts';
import { loginPart } from './loginPart.ts';
import { longestDropPart } from './longestDrop.ts';
import type { Part } from './patient.ts';
import { targetPart } from './targetPart.ts';

/** The way to the server, what it grants, and what comes back. */
export const THERE_AND_BACK: readonly (readonly [string, Part])[] = [
  ['login', loginPart],
  ['target', targetPart],
  ['far end', farEndPart],
  ['restarts', historyPart],
  ['longest drop', longestDropPart],
];
