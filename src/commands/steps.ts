import type { Output } from '../output.ts';

/** Steps for a person to read, a line each. */
export const listed = (titles: readonly string[]) => titles.map((title) => `  ${title}`).join('\n');

/** Tells each step that was done, and notes it in `done`: for {@link file://../plan/run.ts runSteps}. */
export const tellingSteps = (output: Output, done: string[]) => ({
  onDone: (title: string) => {
    done.push(title);
    output.mark('done', title);
  },
  onNotice: output.notice,
});
