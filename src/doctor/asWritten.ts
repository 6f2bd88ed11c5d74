import { version } from '../package.ts';
import { quoted } from '../tunnel/destination.ts';
import { renderFiles } from '../unit/render.ts';
import type { Patient } from './patient.ts';

/** How a file of ours compares with what this program would write from the tunnel's own record. */
export type Comparison =
  | { readonly is: 'same' }
  | { readonly is: 'missing' }
  /** Written by another version, whose words this one does not know. */
  | { readonly is: 'other'; readonly version: string }
  | { readonly is: 'altered'; readonly how: string };

/** Compares one of the files that lie beside the unit, or the unit. @throws what the system says where it may not be read */
export async function compare({ machine, installed, tunnel }: Patient, file: string): Promise<Comparison> {
  const { places, lingering } = installed;
  const [found, unit, stat] = await Promise.all([machine.read(file), machine.read(places.unitFile), machine.stat(file)]);
  if (!found || !stat) return { is: 'missing' };
  // Where user namespaces were allowed or forbidden since, the unit is as it was written all the same.
  const wanted = [true, false].map((namespaces) => {
    const files = renderFiles(tunnel, places, '', { lingering, namespaces });
    return files.find(({ path }) => path === file)!;
  });
  const writtenBy = /^# Written by revtun-setup (\S+)\. /.exec(unit?.toString() ?? '')?.[1];
  if (writtenBy !== undefined && writtenBy !== version()) return { is: 'other', version: writtenBy };
  const { content, mode } = wanted.find(({ content: text }) => text === found.toString()) ?? wanted[0]!;
  if (content !== found.toString()) return { is: 'altered', how: firstDifference(found.toString(), content) };
  if (stat.kind === 'file' && stat.mode !== mode) return { is: 'altered', how: `its mode is ${octal(stat.mode)}, and was ${octal(mode)}` };
  return { is: 'same' };
}

export const octal = (mode: number) => mode.toString(8).padStart(4, '0');

function firstDifference(found: string, wanted: string): string {
  const [now, before] = [found.split('\n'), wanted.split('\n')];
  const at = now.findIndex((line, index) => line !== before[index]);
  if (at === -1) return `it ends before ${quoted(before[now.length] ?? '')}`;
  const [is, was] = [now[at]!, before[at]];
  if (was === undefined) return `${quoted(is)} was added at its end`;
  if (now[at + 1] === was) return `line ${at + 1}, ${quoted(is)}, was added`;
  if (before[at + 1] === is) return `${quoted(was)} is gone from line ${at + 1}`;
  const from = whereTheyPart(is, was);
  return `line ${at + 1} is ${excerpt(is, from)}, and was ${excerpt(was, from)}`;
}

/** Characters before a difference that make it known what it is about. */
const LEAD = 12;

function whereTheyPart(one: string, other: string): number {
  const at = [...one].findIndex((char, index) => char !== other[index]);
  return at === -1 ? one.length : at;
}

/** Of a line that is too long to be shown, what is around a place. */
const excerpt = (line: string, at: number) => (line.length <= 50 ? quoted(line.trim()) : quoted(`…${line.slice(Math.max(0, at - LEAD), at + 25)}…`));

/** What the unit refers to, and what is the same whenever it is written: the pinned host keys are not. */
export const filesBeside = ({ installed: { places, lingering }, tunnel }: Patient): string[] =>
  renderFiles(tunnel, places, '', { lingering, namespaces: true }).map(({ path }) => path).filter((path) => path !== places.unitFile && path !== places.knownHosts);
