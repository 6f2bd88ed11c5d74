import type { Output } from './output.ts';
import { commandLine } from './shell.ts';

/** Columns of the narrowest terminal that we write for without looking. */
const COLUMNS = 80;

/**
 * Breaks lines between words to fit a terminal.
 * @param indent before every line
 * @param hang before what is left of a line that was broken
 * @param columns that the terminal has
 */
export function wrap(text: string, indent = '', hang = indent, columns = COLUMNS): string {
  return text.split('\n').flatMap((line) => {
    const own = indent + /^ */.exec(line)![0];
    // A word as long as a key is there to be copied, and the line with it.
    return /\S{60}/.test(line) ? [indent + line] : filled(line.trimStart().split(' '), own, own.slice(indent.length) + hang, '', columns);
  }).join('\n');
}

/** A command over several lines, for reading and for copying: all but the last end in a backslash. */
export function wrapCommand(argv: readonly string[], indent: string): string {
  // A flag stays with its value.
  const groups = argv.reduce<string[][]>((done, word, at) => {
    if (at > 0 && argv[at - 1]!.startsWith('-') && !word.startsWith('-')) done.at(-1)!.push(word);
    else done.push([word]);
    return done;
  }, []);
  return filled(groups.map(commandLine), indent, `${indent}  `, ' \\').join('\n');
}

/** The same output for a person at a terminal: lines that are not set in (as commands are) fit it. */
export function narrow(output: Output): Output {
  const fit = (text: string) => text.split('\n').map((line) => (line.startsWith(' ') ? line : wrap(line, '', '  '))).join('\n');
  return { ...output, progress: (text) => output.progress(fit(text)), notice: (text) => output.notice(fit(text)), mark: (mark, text) => output.mark(mark, wrap(text, '  ').trimStart()) };
}

function filled(words: readonly string[], first: string, hang: string, end = '', columns = COLUMNS): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(first + word);
    else if (last.length + 1 + word.length + end.length < columns) lines.splice(-1, 1, `${last} ${word}`);
    else lines.push(hang + word);
  }
  return lines.map((line, at) => (at === lines.length - 1 ? line : `${line}${end}`));
}
