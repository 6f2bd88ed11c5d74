import type { Mark, Output } from '../output.ts';

/** What the demo shows: one line a step. */
export interface Show {
  readonly say: (mark: Mark, text: string) => void;
  /** All that was said, for --json. */
  readonly said: readonly string[];
  /** For the commands that the demo runs: their steps are lines of the show, the rest would be about a machine that is soon gone. */
  readonly output: Output;
}

export function makeShow(output: Output): Show {
  const said: string[] = [];
  const say = (mark: Mark, text: string) => {
    said.push(text);
    output.mark(mark, text);
  };
  const ignore = () => undefined;
  return { say, said, output: { json: false, result: ignore, progress: ignore, mark: say, notice: output.notice, object: ignore } };
}
