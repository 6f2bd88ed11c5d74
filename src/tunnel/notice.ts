import { InvalidValue } from '../errors.ts';
import { splitCommandLine } from '../shell.ts';
import { quoted } from './destination.ts';

/** Who gets told what becomes of a tunnel: a program and its arguments each, or nothing. */
export interface Notices {
  /** Run when it went down, once. */
  readonly onDown: readonly string[];
  /** Run when it is up, for the first time and again. */
  readonly onUp: readonly string[];
}

export const wantsNotices = ({ onDown, onUp }: Notices) => onDown.length + onUp.length > 0;

/**
 * Reads a command as one would type it; there is no shell to run it.
 * @throws InvalidValue for what only a shell could carry out, and for what cannot stand in a line of a unit
 */
export function parseNotice(text: string): string[] {
  if (/[\p{Cc}\p{Zl}\p{Zp}\uFFFD]/u.test(text) || Buffer.byteLength(text) > 4000) {
    throw new InvalidValue(`${quoted(text)}: no control characters or line breaks, nothing but UTF-8 and no more than 4000 bytes; put a longer one into a script`);
  }
  const words = splitCommandLine(text);
  if (words.length === 0 || words[0] === '') throw new InvalidValue('names no program');
  return words;
}
