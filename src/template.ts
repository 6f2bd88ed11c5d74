import ejs from 'ejs';
import { template } from './package.ts';

/** The first words of every file of ours. A file without them is never overwritten or removed. */
export const HEADER = '# Written by revtun-setup';

export const isOurs = (content: Buffer | string) => content.toString().startsWith(HEADER);

/**
 * A file of templates/, filled in. Templates get flat locals and no HTML escaping: a name that is missing throws, and
 * values are quoted before, by whoever knows what they become part of.
 */
export const renderTemplate = (name: string, locals: Readonly<Record<string, unknown>>): string =>
  ejs.render(template(name), { ...locals }, { escape: String });
