import { version } from '../package.ts';
import { commandLine } from '../shell.ts';
import { HEADER, renderTemplate } from '../template.ts';
import { type Step, titleOf } from './step.ts';

/** Something that was assumed when the plan was made, and that the script looks at before it changes anything. */
export interface Requirement {
  /** Succeeds where it is so; its output goes nowhere. */
  readonly argv: readonly string[];
  /** What to tell where it is not. */
  readonly otherwise: string;
}

export interface About {
  /** What the script does, in a line of words. */
  readonly title: string;
  readonly requires?: readonly Requirement[];
  /** A file that is locked for as long as the script runs, so that no other run of ours gets in between. */
  readonly lock?: string;
  /** Seconds after which the plan's guard puts the old state back; needed where there is a `new-login`. */
  readonly confirmWithin?: number;
  /** Commands whose output is the script's own on stdout, once all is done. */
  readonly closing?: readonly (readonly string[])[];
}

/**
 * Writes a plan out as a POSIX sh script, for a machine that we do not get to. It means the same as
 * {@link file://./run.ts runSteps}: the same steps in the same order, undone in reverse when one fails.
 *
 * It cannot look before it is made: it finds out by itself, step by step, what is done already, and `run` steps have to
 * say so in `unless`. A file that the plan writes and then runs as `sh FILE …` around a `new-login` is its guard, which
 * puts the old state back if nobody confirms the new one; a run that finds nothing to change leaves the guard out.
 * @throws Error when a step cannot be said in sh: a NUL, a path that is not absolute, a `new-login` without a guard
 */
export function toScript(steps: readonly Step[], about: About): string {
  const numbered = steps.map((step, index): Numbered => ({ step, number: index + 1 }));
  const guard = guardOf(numbered, about.confirmWithin);
  const checks = [
    ...(about.requires ?? []).map(({ argv, otherwise }) => call('require', otherwise, ...argv)),
    ...numbered.filter(({ step }) => step.kind === 'write' || step.kind === 'remove').map(({ step, number }) =>
      (step.kind === 'remove' ? `path_${number}=${word(step.path)} mode_${number}=; ` : '') + `not_foreign ${number}`),
    ...(guard ? guardChecks(guard) : []),
  ];
  const script = renderTemplate('plan.sh.ejs', {
    header: `${HEADER} ${version()}`,
    mark: HEADER,
    title: oneLine(about.title),
    lock: body(about.lock === undefined ? [] : lockLines(about.lock)),
    files: body(numbered.flatMap(({ step, number }) => (step.kind === 'write' ? [fileLines(step, number)] : [])), false),
    checks: body(checks),
    guarded: body((guard?.guarded ?? []).flatMap(inForce)),
    steps: body(numbered.map((one) => paragraph(one, guard).join('\n')), false),
    closing: body((about.closing ?? []).map(commandLine)),
  });
  if (script.includes('\0')) throw new Error('a NUL cannot stand in a script');
  return script;
}

interface Numbered {
  readonly step: Step;
  readonly number: number;
}

type RunStep = Extract<Step, { kind: 'run' }>;
type WriteStep = Extract<Step, { kind: 'write' }>;

/** What puts the old state back by itself, unless it is told in time that the new one lets people in. */
interface Guard {
  readonly path: string;
  readonly seconds: number;
  /** The steps that are there only because others between them change something. */
  readonly parts: ReadonlySet<Step>;
  readonly arm: Step;
  readonly disarm: RunStep;
  /** What is done under its eyes. */
  readonly guarded: readonly Numbered[];
}

function guardOf(numbered: readonly Numbered[], seconds: number | undefined): Guard | undefined {
  const login = numbered.find(({ step }) => step.kind === 'new-login');
  if (!login) return undefined;
  for (const { step: tool, number: first } of numbered) {
    if (tool.kind !== 'write') continue;
    const uses = numbered.filter((one): one is Numbered & { step: RunStep } => one.step.kind === 'run' && one.step.argv[0] === 'sh' && one.step.argv[1] === tool.path);
    const [arm, disarm] = [uses[0], uses.at(-1)];
    if (seconds === undefined || !arm || !disarm || arm.number > login.number || disarm.number < login.number) continue;
    const parts = new Set<Step>([tool, login.step, ...uses.map(({ step }) => step)]);
    const guarded = numbered.filter(({ step, number }) => number > first && number < disarm.number && !parts.has(step));
    return { path: tool.path, seconds, parts, arm: arm.step, disarm: disarm.step, guarded };
  }
  throw new Error('a new login can only be asked for under a guard');
}

function guardChecks({ path, seconds, disarm, guarded }: Guard): string[] {
  const always = guarded.some(({ step }) => step.kind === 'run' && !step.unless);
  const waiting = `${path} is there: an earlier change was not confirmed. It is put back within ${seconds} s; to keep it: ${commandLine(disarm.argv)}`;
  return [
    always ? 'guarded=yes' : 'in_force || guarded=yes',
    `[ "$guarded" = no ] || [ ! -e ${word(path)} ] || ${call('problem', waiting)}`,
  ];
}

function inForce({ step, number }: Numbered): string[] {
  switch (step.kind) {
    case 'write': return [`! differs ${number} || return 1`];
    case 'remove': return [`[ ! -e ${absolute(step.path)} ] || return 1`];
    case 'run': return step.unless ? [`${call('already', ...step.unless)} || return 1`] : [];
    default: return [];
  }
}

/** The lines of one step. */
function paragraph({ step, number }: Numbered, guard: Guard | undefined): string[] {
  const title = titleOf(step);
  const lines = [...functionsOf(step, number), ...doing({ step, number }, guard)];
  const told = title === undefined ? lines : [call('step', title), ...lines];
  if (!guard?.parts.has(step)) return told;
  const isLast = step === guard.disarm;
  return [
    `if [ "$guarded" = yes ]${isLast ? ` && [ -e ${word(guard.path)} ]` : ''}; then`,
    ...told.map(indented),
    // The time may have been up a moment before.
    ...(isLast ? ["  in_force || fail 'the old state came back before it was confirmed'"] : []),
    'fi',
  ];
}

/** What is called when it has taken effect, and on the way back. */
function functionsOf(step: Step, number: number): string[] {
  switch (step.kind) {
    // A later step may turn out to be done already, so `settledLater` counts for nothing here.
    case 'write':
    case 'remove': return step.settle ? [`settle_${number}() { ${step.guarded ? `[ "$undoing" = yes ] || ${call('run', ...step.guarded)}; ` : ''}${call('run', ...step.settle)}; }`] : [];
    case 'run': return step.undo ? [`undo_${number}() { ${call('run', ...step.undo)}; }`] : [];
    case 'on-undo': return [`undo_${number}() { ${call('run', ...step.argv)}; }`];
    default: return [];
  }
}

function doing({ step, number }: Numbered, guard: Guard | undefined): string[] {
  switch (step.kind) {
    case 'make-directory': return [`make_directory ${number} ${octal(step.mode)} ${absolute(step.path)}`];
    case 'write': return [`write_file ${number}`];
    case 'remove': return [`remove_file ${number}`];
    case 'remove-directory': return [`remove_directory ${number} ${absolute(step.path)}`];
    case 'run': return runLines(step, number, step === guard?.arm);
    case 'on-undo': return [`back undo_${number}`];
    case 'new-login': {
      if (!guard) throw new Error('a new login can only be asked for under a guard');
      return [call('new_login', String(guard.seconds), guard.path, commandLine(guard.disarm.argv))];
    }
  }
}

function runLines({ argv, undo, unless, orElse }: RunStep, number: number, arms: boolean): string[] {
  const back = undo ? [`back undo_${number}`] : [];
  const lines = [
    'begin',
    ...(arms ? ['armed_at=$(date +%s)'] : []),
    ...(orElse === undefined
      ? [...back, call('run', ...argv)]
      : [`if ${call('try', ...argv)}; then`, ...(undo ? back.map(indented) : ['  :']), 'else', `  ${call('say', orElse)}`, 'fi']),
  ];
  return unless ? [`if ${call('already', ...unless)}; then`, '  unchanged', 'else', ...lines.map(indented), 'fi'] : lines;
}

/** A file's content as a here-document, which ends at the first line that is its delimiter and nothing else. */
function fileLines({ path, mode, content }: WriteStep, number: number): string {
  const delimiter = delimiterFor(content.split('\n'));
  const terminated = content === '' || content.endsWith('\n');
  return `file ${number} ${octal(mode)} ${absolute(path)}${terminated ? '' : ' unterminated'} <<'${delimiter}'\n${content}${terminated ? '' : '\n'}${delimiter}`;
}

/**
 * dash (0.5.12) loses a byte of a line that begins as the delimiter does and goes on in anything but ASCII.
 * @throws Error when each letter begins such a line
 */
function delimiterFor(lines: readonly string[]): string {
  const isSafe = (delimiter: string) => lines.every((line) => line !== delimiter && !(line.startsWith(delimiter[0]!) && /[^\0-\x7F]/.test(line)));
  const found = ['END', ...[...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].map((letter) => `${letter}_END`)].find(isSafe);
  if (found === undefined) throw new Error('no here-document can hold this content');
  return found;
}

// Nobody else may open root's file: an open file is all that it takes to hold the lock.
const lockLines = (path: string) => [
  `command -v flock >/dev/null || return 0`,
  `exec 9>${absolute(path)} || exit 1`,
  `flock -n 9 || ${call('fail', `another revtun-setup is at work here (${path} is locked)`)}`,
];

/** What stands between the braces of a function; sh has no empty ones. */
const body = (parts: readonly string[], indent = true) =>
  parts.length === 0 ? '  :' : parts.map((part) => (indent ? indented(part) : part)).join(indent ? '\n' : '\n\n');

// A line that begins inside a quoted word must stay where it is: only the first is moved.
const indented = (line: string) => `  ${line}`;
const call = (name: string, ...words: readonly string[]) => commandLine([name, ...words]);
const word = (text: string) => commandLine([text]);
const octal = (mode: number) => mode.toString(8);
const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ');

function absolute(path: string): string {
  if (!path.startsWith('/')) throw new Error(`not an absolute path: ${path}`);
  return word(path);
}
