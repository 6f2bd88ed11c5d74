import { bashCompletion, fishCompletion, zshCompletion } from './completion.ts';
import { manPage } from './man.ts';
import { readTree } from './tree.ts';

/**
 * What the build writes for shells and for man(1), by its place in dist/.
 * @param day of the build, as `2026-01-31`
 */
export function helpFiles(day: string): Readonly<Record<string, string>> {
  const pages = readTree();
  return {
    'man/revtun-setup.1': manPage(pages, day),
    'completions/revtun-setup.bash': bashCompletion(pages),
    'completions/_revtun-setup': zshCompletion(pages),
    'completions/revtun-setup.fish': fishCompletion(pages),
  };
}
