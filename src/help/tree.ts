import { FIELDS } from '../input/fields.ts';
import { commandTree } from '../program/tree.ts';

/** A command as the table of commands tells of it. */
export interface Page {
  /** The words that lead to it; none for the program itself. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly places: readonly Place[];
  readonly flags: readonly Flag[];
  /** The commands below it. */
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
}

/** An argument without a flag. */
export interface Place {
  readonly name: string;
  readonly required: boolean;
  readonly many: boolean;
}

export interface Flag {
  /** As the help shows it: `-n, --lines <N>`. */
  readonly shown: string;
  /** `-n` and `--lines`, whichever there are. */
  readonly names: readonly string[];
  /** What its value is called; undefined for a switch. */
  readonly value: string | undefined;
  readonly help: string;
  readonly many: boolean;
}

type Command = ReturnType<typeof commandTree>;

/** Every command with its arguments and flags, the program itself first. */
export function readTree(): readonly Page[] {
  return pagesBelow(unrunnableTree(), []);
}

/** What is meant where no command is named. */
export function defaultPage(pages: readonly Page[]): Page {
  // Commander tells it to nobody.
  const { _defaultCommandName: name } = unrunnableTree() as unknown as { _defaultCommandName: string };
  return pages.find(({ words }) => words.join(' ') === name)!;
}

/** Here no command ever runs. */
const unrunnableTree = () => commandTree(() => {
  throw new Error('Help is made without a session.');
});

function pagesBelow(command: Command, words: readonly string[]): Page[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command);
  const page: Page = {
    words,
    summary: command.summary(),
    description: command.description() || command.summary(),
    places: children.length > 0 ? [] : command.registeredArguments.map((place) => ({ name: place.name(), required: place.required, many: place.variadic })),
    flags: help.visibleOptions(command).map((option) => ({
      shown: option.flags,
      names: [option.short, option.long].filter((name) => name !== undefined),
      value: /[<[](.*)[>\]]$/.exec(option.flags)?.[1],
      help: option.description,
      many: FIELDS.some(({ flags, many }) => flags === option.flags && many === true),
    })),
    commands: children.map((child) => ({ name: child.name(), summary: child.summary() })),
  };
  return [page, ...children.flatMap((child) => pagesBelow(child, [...words, child.name()]))];
}
