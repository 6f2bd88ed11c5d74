import { styleText } from 'node:util';
import inquirer from 'inquirer';
import { cancelled, InvalidValue } from '../errors.ts';
import { suggest } from './suggest.ts';

/** One answer to choose. */
export interface Choice<T> {
  readonly value: T;
  readonly name: string;
  /** What stays on the screen once it is chosen. */
  readonly short?: string;
  /** A sentence that is shown while the cursor is on it. */
  readonly description?: string;
  /** Why it cannot be chosen. */
  readonly disabled?: string;
  /** Chosen beforehand, where several can be. */
  readonly checked?: boolean;
}

/** Turns what a person typed into a value. @throws InvalidValue, whose message the person is shown */
export type Parse<T> = (text: string) => T;

/**
 * A person at a terminal. Every question throws {@link cancelled} when the person leaves (Ctrl-C, Ctrl-D, a terminal
 * that is closed) and when the program is told to end. All of it goes to stderr: stdout is for results.
 */
export interface Ask {
  readonly say: (text: string) => void;
  readonly text: <T>(message: string, parse: Parse<T>, preset?: string) => Promise<T>;
  /** Free text, with suggestions below it. */
  readonly suggested: <T>(message: string, suggestions: readonly string[], parse: Parse<T>) => Promise<T>;
  readonly yes: (message: string, preset: boolean) => Promise<boolean>;
  readonly oneOf: <T>(message: string, choices: readonly Choice<T>[], preset?: T) => Promise<T>;
  /** At least one of them. */
  readonly someOf: <T>(message: string, choices: readonly Choice<T>[]) => Promise<readonly T[]>;
  /** Text that the screen does not show. */
  readonly secret: (message: string) => Promise<string>;
  /** Waits for Enter. */
  readonly enter: (message: string) => Promise<void>;
}

export function openAsk(signal: AbortSignal): Ask {
  const put = (type: keyof typeof THEMES, question: Question) =>
    whileTerminalLasts(signal, async (until) => {
      const module = inquirer.createPromptModule({ output: process.stderr, signal: until });
      return (await module<{ answer: unknown }>([{ type, name: 'answer', theme: THEMES[type], ...question }])).answer;
    });
  const text = async <T>(message: string, parse: Parse<T>, preset?: string) =>
    parse(trimmed(await put('input', { message, default: preset, validate: (typed: string) => problemOf(parse, typed) })));
  return {
    say: (words) => void process.stderr.write(`${words}\n`),
    text,
    suggested: async (words, suggestions, parse) => {
      if (suggestions.length === 0) return text(words, parse);
      const question = { message: words, suggestions, validate: (typed: string) => problemOf(parse, typed), pageSize: PAGE, keysHelp: keysHelpTip([['↑↓', 'navigate'], ['⏎', 'select']]), style: { message } };
      return parse(trimmed(await whileTerminalLasts(signal, (until) => suggest(question, { output: process.stderr, signal: until }))));
    },
    yes: async (message, preset) => (await put('confirm', { message, default: preset })) === true,
    oneOf: async <T>(message: string, choices: readonly Choice<T>[], preset?: T) =>
      await put('select', { message, choices, default: preset, pageSize: PAGE, loop: false }) as T,
    someOf: async <T>(message: string, choices: readonly Choice<T>[]) =>
      await put('checkbox', { message, choices, pageSize: PAGE, loop: false, required: true, shortcuts: { all: null, invert: null } }) as readonly T[],
    secret: async (words) => String(await put('password', { message: words, mask: false })),
    enter: async (words) => void (await put('input', { message: words })),
  };
}

type Question = { message: string } & Record<string, unknown>;

/**
 * inquirer waits for ever for an answer from a terminal that has ended (Ctrl-D, a closed window), and Node then ends
 * without a word. Its readline lets go of stdin at that moment, and otherwise not before there is an answer.
 */
async function whileTerminalLasts<T>(signal: AbortSignal, ask: (until: AbortSignal) => Promise<T>): Promise<T> {
  const gone = new AbortController();
  const leave = () => gone.abort();
  process.stdin.once('pause', leave);
  try {
    return await ask(AbortSignal.any([signal, gone.signal]));
  } catch (error) {
    throw /^(Abort|Exit)PromptError$/.test((error as Error).name) ? cancelled() : error;
  } finally {
    process.stdin.off('pause', leave);
  }
}

/** Rows of choices that a terminal of 24 has room for, with the words around them. */
const PAGE = 10;

const keysHelpTip = (keys: readonly (readonly [string, string])[]) =>
  styleText('dim', keys.map(([key, action]) => `${key === '⏎' ? 'Enter' : key} ${action}`).join('  '));

/** What stands in brackets helps to answer, and is in the way once that is done. */
const message = (text: string, status: string) => {
  const asked = status === 'done' ? text.replace(/ \(.*\)$/, '') : text;
  return styleText('bold', asked.endsWith('?') ? asked : `${asked}:`);
};
const description = (text: string) => styleText('dim', text);

const THEMES = {
  input: { style: { message } },
  confirm: { style: { message } },
  password: { style: { message } },
  select: { style: { message, keysHelpTip, description } },
  checkbox: { style: { message, keysHelpTip, description } },
} as const;

const trimmed = (typed: unknown) => String(typed).trim();

/** True where the text can be read, as inquirer wants it; otherwise the reason. */
function problemOf(parse: Parse<unknown>, typed: string): true | string {
  try {
    parse(trimmed(typed));
    return true;
  } catch (error) {
    if (error instanceof InvalidValue) return error.message;
    throw error;
  }
}
