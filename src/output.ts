import { styleText } from 'node:util';

/** Where words go. With --json, stdout belongs to one object and everything for a person goes to stderr. */
export interface Output {
  readonly json: boolean;
  /** What a command was asked for: a list, a file, a state. */
  readonly result: (text: string) => void;
  /** What is going on; silent with --quiet. */
  readonly progress: (text: string) => void;
  /** One thing that was done or seen, with its mark. */
  readonly mark: (mark: Mark, text: string) => void;
  /** What a person has to know, quiet or not. */
  readonly notice: (text: string) => void;
  /** The one object of --json; without --json, nothing. */
  readonly object: (value: object) => void;
}

export type Mark = 'done' | 'fault' | 'unknown';

export const MARKS = { done: ['green', '✔'], fault: ['red', '✖'], unknown: ['yellow', '?'] } as const;

export function makeOutput(json: boolean, quiet: boolean, stdout: NodeJS.WriteStream = process.stdout, stderr: NodeJS.WriteStream = process.stderr): Output {
  const forPeople = json ? stderr : stdout;
  const write = (stream: NodeJS.WriteStream, text: string) => void stream.write(text.endsWith('\n') ? text : `${text}\n`);
  const tell = (stream: NodeJS.WriteStream, text: string) => write(stream, harmless(text));
  const progress = (text: string) => {
    if (!quiet) tell(forPeople, text);
  };
  return {
    json,
    result: (text) => write(forPeople, text),
    progress,
    mark: (mark, text) => {
      const [colour, sign] = MARKS[mark];
      // styleText looks at the stream and at NO_COLOR itself.
      if (!quiet) write(forPeople, `${styleText(colour, sign, { stream: forPeople })} ${harmless(text)}`);
    },
    notice: (text) => tell(stderr, text),
    object: (value) => {
      if (json) write(stdout, JSON.stringify(value));
    },
  };
}

/**
 * Much of what is told was said by another machine: none of it may steer the terminal, or turn the direction of writing.
 * (ssh's own lines end in \r\n.)
 */
export const harmless = (text: string) => text.replaceAll('\r\n', '\n').replace(/(?![\n\t])[\p{Cc}\u{200E}\u{200F}\u{202A}-\u{202E}\u{2066}-\u{2069}]/gu, '\u{FFFD}');
