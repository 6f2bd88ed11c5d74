import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../lab/paths.ts';
import type { Result } from './result.ts';

/** The results as Markdown that reads well as plain text, too. */
export function report(command: string, machine: readonly string[], results: readonly Result[], began: Date, ended: Date): string {
  const missed = results.filter(({ met }) => met === false);
  const verdict = missed.length === 0
    ? 'All aims are met.'
    : `Missed ${missed.length === 1 ? 'aim' : 'aims'}:\n\n${missed.map(({ what, ratio, aim }) => `- ${what}: ${ratio}, aim: ${aim}`).join('\n')}`;
  return [
    circumstances(command, machine, began, ended),
    table(['what', 'ours', 'beside', 'ratio', 'aim', ''], results.map(({ what, ours, against, ratio, aim, met }) => [what, ours, against, ratio, aim, met === undefined ? '' : met ? 'met' : 'missed'])),
    verdict,
  ].join('\n\n');
}

/** What a report begins with: when, how, and on what it was measured. */
export function circumstances(command: string, machine: readonly string[], began: Date, ended: Date): string {
  return [
    `${began.toISOString().slice(0, 10)}, \`${command}\`, ${Math.round((ended.getTime() - began.getTime()) / 1000)} s, on:`,
    machine.map((line) => `- ${line}`).join('\n'),
  ].join('\n\n');
}

/** A table that reads well as plain text, too. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length), title.length));
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

const DOCUMENT = join(repositoryRoot, 'docs/benchmarks.md');

/** What in docs/benchmarks.md one run of this tells. */
export type Section = 'measured' | 'recovery' | 'releases';

/** Puts a report between a section's marks in docs/benchmarks.md. @throws Error when the marks are gone */
export function writeReport(section: Section, text: string): void {
  const old = readFileSync(DOCUMENT, 'utf8');
  const [beginMark, endMark] = [`<!-- ${section}: begin -->`, `<!-- ${section}: end -->`];
  const [begin, end] = [old.indexOf(beginMark), old.indexOf(endMark)];
  if (begin === -1 || end < begin) throw new Error(`${DOCUMENT} has no ${beginMark} … ${endMark}`);
  writeFileSync(DOCUMENT, `${old.slice(0, begin + beginMark.length)}\n${text}\n${old.slice(end)}`);
}
