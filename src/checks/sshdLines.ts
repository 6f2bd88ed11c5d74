import { dirname } from 'node:path';
import { SERVER } from '../server/places.ts';
import { isOurs } from '../template.ts';
import { matchesPatterns } from './sshdPatterns.ts';

/** A line of sshd's configuration, in the order in which sshd reads them. */
export interface SshdLine {
  readonly file: string;
  readonly number: number;
  readonly text: string;
  /** The conditions that it stands under; undefined where it holds for every login. */
  readonly match: string | undefined;
}

/** @param printed `FILE NUL NUMBER:line` for each line of the main file and of the drop-ins */
export function readLines(printed: string): SshdLine[] {
  const files = new Map<string, string[]>();
  for (const line of printed.split('\n')) {
    const [, file, text] = /^([^\0]+)\0\d+:(.*)$/s.exec(line) ?? [];
    if (file !== undefined) files.set(file, [...(files.get(file) ?? []), text!]);
  }
  const dropIns = [...files.keys()].filter((file) => dirname(file) === dirname(SERVER.dropIn)).toSorted();
  const read = (file: string, outer: string | undefined): SshdLine[] => {
    let match = outer;
    return (files.get(file) ?? []).flatMap((text, at): SshdLine[] => {
      const [, keyword, value = ''] = /^\s*(\w+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(text) ?? [];
      if (keyword?.toLowerCase() === 'match') match = /^all$/i.test(value) ? undefined : value;
      const line = { file, number: at + 1, text: text.trim(), match };
      return keyword?.toLowerCase() === 'include' && value.includes('sshd_config.d/') ? [line, ...dropIns.flatMap((dropIn) => read(dropIn, match))] : [line];
    });
  };
  return read(SERVER.mainConfig, undefined);
}

/**
 * What sets a keyword otherwise than our block: of all blocks that match, the first one wins (sshd_config(5)), so it
 * stands before ours. Where ours is missing, it may be any line.
 * @returns `FILE:NUMBER (Match …)`; undefined where no line says so
 */
export function overridingLine(lines: readonly SshdLine[], keyword: string, value: string): string | undefined {
  const ours = lines.findIndex(({ text }) => isOurs(text));
  const said = lines.filter(({ text, match }, at) => keywordOf(text) === keyword && (ours === -1 || (at < ours && match !== undefined)));
  const found = said.find(({ text }) => plain(text).endsWith(plain(value))) ?? said[0];
  return found && placeOf(found);
}

const keywordOf = (text: string) => /^\w+/.exec(text)?.[0].toLowerCase();

const plain = (text: string) => text.replaceAll('"', '').replace(/\s+/g, ' ').trim().toLowerCase();

/**
 * Lines of Match blocks that stand before ours and hold for an account when it comes from, or to, some addresses only:
 * what sshd says of one login cannot show them.
 */
export function conditionalLines(lines: readonly SshdLine[], keywords: ReadonlySet<string>, user: string, groups: readonly string[]): SshdLine[] {
  const ours = lines.findIndex(({ text }) => isOurs(text));
  return lines.slice(0, Math.max(ours, 0)).filter(({ text, match }) =>
    match !== undefined && keywords.has(keywordOf(text) ?? '') && dependsOnAddress(match) && mayHoldFor(match, user, groups));
}

const criteriaOf = (match: string) => [...match.replaceAll('"', '').matchAll(/(\w+)(?:\s*=\s*|\s+)(\S+)/g)].map(([, criterion = '', patterns = '']) => [criterion.toLowerCase(), patterns.split(',')] as const);

const dependsOnAddress = (match: string) => criteriaOf(match).some(([criterion]) => /^(host|address|localaddress|localport|rdomain)$/.test(criterion));

function mayHoldFor(match: string, user: string, groups: readonly string[]): boolean {
  return criteriaOf(match).every(([criterion, patterns]) => {
    if (criterion === 'user') return matchesPatterns(user, patterns);
    return criterion !== 'group' || groups.some((group) => matchesPatterns(group, patterns));
  });
}

/** `FILE:NUMBER (Match …)`. */
export const placeOf = ({ file, number, match }: SshdLine) => `${file}:${number}${match === undefined ? '' : ` (Match ${match})`}`;
