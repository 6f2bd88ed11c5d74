import { FIELDS, variableOf } from '../input/fields.ts';
import { version } from '../package.ts';
import { renderTemplate } from '../template.ts';
import { wrap } from '../wrap.ts';
import type { Flag, Page, Place } from './tree.ts';

/**
 * revtun-setup(1), in the words of the program's own help.
 * @param day as `2026-01-31`
 */
export function manPage(pages: readonly Page[], day: string): string {
  const explained = new Set<string>();
  const commands = pages.filter(({ words }) => words.length > 0).map((page) => {
    // What an earlier command takes as well is not told twice.
    const isNew = ({ shown, help }: Flag) => !explained.has(`${shown}\n${help}`) && explained.add(`${shown}\n${help}`);
    const own = page.flags.filter((flag) => isNew(flag));
    const others = page.flags.filter((flag) => !own.includes(flag)).map(({ names }) => bold(names.at(-1)!));
    return {
      heading: [...page.words, ...page.places.map(shownPlace), ...(page.commands.length > 0 ? ['COMMAND'] : [])].map(roff).join(' '),
      paragraphs: page.description.split('\n').map(text),
      flags: own.map(entry),
      others: others.length === 0 ? '' : wrap(`${own.length > 0 ? 'Also' : 'Options'}, as above: ${others.join(', ')}.`),
    };
  });
  const program = pages[0]!;
  return renderTemplate('revtun-setup.1.ejs', {
    day,
    version: roff(version()),
    description: text(program.description),
    synopsis: pages.filter(({ words, commands: below }) => words.length > 0 && below.length === 0).map(synopsis),
    flags: program.flags.map(entry),
    commands,
    variables: wrap(`${FIELDS.map((field) => bold(variableOf(field))).join(', ')}.`),
  });
}

const synopsis = ({ words, places }: Page) =>
  [bold(`revtun-setup ${words.join(' ')}`), `[${italic('options')}]`, ...places.map((place) => roff(shownPlace(place)))].join(' ');

function shownPlace({ name, required, many }: Place): string {
  const shown = many ? `${name}…` : name;
  return required ? shown : `[${shown}]`;
}

/** Flag and text of a tagged paragraph. */
function entry({ shown, help }: Flag) {
  const [, names = '', value = ''] = /^(\S+(?:, \S+)?)(.*)$/.exec(shown)!;
  return { tag: bold(names) + italic(value), text: text(help) };
}

const bold = (text: string) => `\\fB${roff(text)}\\fR`;
const italic = (text: string) => (text === '' ? '' : `\\fI${roff(text)}\\fR`);

/** A text of several lines, none of them long. */
const text = (words: string) => wrap(roff(words)).replace(/^\./gm, '\\&.');

/** What a terminal's font would show in another way, by its name in groff_char(7). */
const CHARACTERS: Readonly<Record<string, string>> = { '\\': '\\e', '-': '\\-', "'": '\\(aq', '`': '\\(ga', '~': '\\(ti', '^': '\\(ha' };

/** A text for roff(7): nothing in it is an escape, and a hyphen can be copied as one. */
function roff(words: string): string {
  const plain = words.replace(/[-\\'`~^]/g, (one) => CHARACTERS[one]!);
  return plain.replace(/[^\0-~]/gu, (one) => `\\[u${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`);
}
