import { InvalidValue } from './errors.ts';

/** A command as a person would type it: for messages, and for the scripts that `server script` writes. Exact for any POSIX shell. */
export function commandLine(argv: readonly string[]): string {
  return argv.map((word) => (/^[A-Za-z0-9_/.,:=@^%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)).join(' ');
}

/**
 * The words of a command line: the inverse of {@link commandLine}, for anything that a POSIX shell would take for plain
 * words (Shell Command Language, 2.2 Quoting).
 * @throws InvalidValue for what a shell would act upon: operators, variables, patterns
 */
export function splitCommandLine(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let rest = text; rest !== '';) {
    const [piece, meaning] = nextPiece(rest, word === undefined);
    rest = rest.slice(piece.length);
    if (meaning !== undefined) word = (word ?? '') + meaning;
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  return word === undefined ? words : [...words, word];
}

/** @returns a piece of the text and what it means; undefined where it stands between words */
function nextPiece(text: string, atBeginning: boolean): readonly [string, string | undefined] {
  const blanks = /^[ \t\n]+/.exec(text);
  if (blanks) return [blanks[0], undefined];
  const single = /^'([^']*)'/.exec(text);
  if (single) return [single[0], single[1]!];
  const double = /^"((?:[^"\\$`]|\\[^])*)"/.exec(text);
  if (double) return [double[0], double[1]!.replaceAll(/\\(["\\$`])/g, '$1')];
  const escaped = /^\\([^\n])/.exec(text);
  if (escaped) return [escaped[0], escaped[1]!];
  const plain = (atBeginning ? /^[^\s'"\\$`|&;<>()*~#]/ : /^[^\s'"\\$`|&;<>()*]/).exec(text);
  if (plain) return [plain[0], plain[0]];
  const [sign = ''] = text;
  if (sign === "'" || (sign === '"' && !/^"(?:[^"\\]|\\[^])*"/.test(text))) throw new InvalidValue(`${JSON.stringify(text)}: the quote is not closed`);
  throw new InvalidValue(`${JSON.stringify(text)}: there is no shell that would see to this; put it into a script, or into single quotes if it means itself`);
}
