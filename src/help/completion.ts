import { template, version } from '../package.ts';
import { renderTemplate } from '../template.ts';
import { defaultPage, type Flag, type Page, type Place } from './tree.ts';
import { valuesOf } from './values.ts';

/** Completion for bash. */
export function bashCompletion(pages: readonly Page[]): string {
  const rows = namedPages(pages).map(({ path, page }) => ({
    path: inSh(path),
    commands: inSh(page.commands.map(({ name }) => name).join(' ')),
    flags: inSh(page.flags.flatMap(({ names }) => names).join(' ')),
    places: `(${page.places.map((place) => inSh(wordFor(place.name) + (place.many ? '...' : ''))).join(' ')})`,
    values: page.flags.filter(hasValue).map(({ names, value }) => ({ names: names.join(' | '), value: inSh(wordFor(value)) })),
  }));
  return renderTemplate('completion.bash.ejs', { ...shared(inSh), pages: rows });
}

/** As one word for bash's engine. */
function wordFor(place: string): string {
  const values = valuesOf(place);
  return typeof values === 'string' ? values : values.join(' ');
}

/** Completion for zsh. */
export function zshCompletion(pages: readonly Page[]): string {
  const rows = namedPages(pages).map(({ path, page }) => ({
    path: inSh(path),
    commands: page.commands.map(({ name, summary }) => inSh(`${name}:${escaped(summary, ':')}`)).join(' '),
    specs: [...page.flags.flatMap(zshFlags), ...(page.commands.length > 0 ? ['1: :->command', '*:: :->below'] : page.places.map(zshPlace))].map(inSh),
  }));
  return renderTemplate('completion.zsh.ejs', { ...shared(inSh), pages: rows, meant: inSh(defaultPage(pages).words.join(' ')) });
}

/** The specifications of zsh's _arguments for one flag. */
function zshFlags(flag: Flag): string[] {
  const { names, value, help, many } = flag;
  // Whoever asks for help asks for nothing else.
  const before = names.includes('--help') || names.includes('--version') ? '(- : *)' : many ? '*' : `(${names.join(' ')})`;
  return names.map((name) => {
    const takes = value === undefined ? '' : name.startsWith('--') ? '=' : '+';
    return `${before}${name}${takes}[${escaped(help, ':[]')}]${value === undefined ? '' : zshValue(value)}`;
  });
}

function zshPlace({ name, required, many }: Place, at: number): string {
  return `${many ? '*' : at + 1}${required || many ? '' : ':'}${zshValue(name)}`;
}

function zshValue(place: string): string {
  const values = valuesOf(place);
  const action = typeof values !== 'string' ? `(${values.join(' ')})` : {
    tunnels: '_revtun-setup-tunnels', hosts: '_revtun-setup-hosts', files: '_files', folders: '_files -/', nothing: ' ',
  }[values];
  return `:${escaped(place, ':')}:${action}`;
}

/** Completion for fish. */
export function fishCompletion(pages: readonly Page[]): string {
  const named = namedPages(pages);
  const lines = named.flatMap(({ path, page }) => {
    const here = (...more: (string | number)[]) => `-n ${inFish(['__revtun_setup_at', inFish(path), ...more].join(' '))}`;
    return [
      ...page.commands.map(({ name, summary }) => `${here(0)} -a ${name} -d ${inFish(summary)}`),
      ...page.places.map((place, at) => `${here(at, ...(place.many ? ['many'] : []))}${fishValues(place.name)}`),
      ...page.flags.map((flag) => `${here()} ${fishFlag(flag)}`),
    ];
  });
  const tables = named.map(({ path, page }) => ({ path: inFish(path), valued: page.flags.filter(hasValue).flatMap(({ names }) => names) }));
  return renderTemplate('completion.fish.ejs', { ...shared(inFish), pages: tables, lines });
}

function fishFlag({ names, value, help }: Flag): string {
  const named = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  return [...named, `-d ${inFish(help)}`].join(' ') + (value === undefined ? '' : ` -r${fishValues(value)}`);
}

function fishValues(place: string): string {
  const values = valuesOf(place);
  if (typeof values !== 'string') return ` -f -a ${inFish(values.join(' '))}`;
  const from = (command: string) => ` -f -a '(${command})'`;
  return {
    tunnels: from('__revtun_setup_tunnels'), hosts: from('__revtun_setup_hosts'), files: ' -F', folders: from('__fish_complete_directories'), nothing: ' -f',
  }[values];
}

/** Each command by its words; without any, the flags of the one that is meant then are taken, too. */
function namedPages(pages: readonly Page[]): { path: string; page: Page }[] {
  const meant = defaultPage(pages);
  return pages.map((page) => {
    const path = page.words.join(' ');
    const own = new Set(page.flags.map(({ shown }) => shown));
    return { path, page: path === '' ? { ...page, flags: [...page.flags, ...meant.flags.filter(({ shown }) => !own.has(shown))] } : page };
  });
}

const hasValue = (flag: Flag): flag is Flag & { value: string } => flag.value !== undefined;

function shared(quote: (text: string) => string) {
  return { version: version(), tunnels: quote(template('completion-tunnels.sh')), hosts: quote(template('completion-hosts.sh')) };
}

/** With a backslash before each of some characters, and before itself. */
const escaped = (text: string, characters: string) => [...text].map((one) => (`\\${characters}`.includes(one) ? `\\${one}` : one)).join('');

/** One word of a POSIX shell, of bash and of zsh. */
const inSh = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** One word of fish. */
const inFish = (text: string) => `'${escaped(text, "'")}'`;
