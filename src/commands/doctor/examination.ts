import { readFacts } from '../../checks/facts.ts';
import { examine, noAnswer, TIME_FOR_ALL } from '../../doctor/examine.ts';
import { INSTALLED, MACHINE } from '../../doctor/here.ts';
import { CutShort, inTime } from '../../doctor/inTime.ts';
import { lastWord } from '../../doctor/lastWord.ts';
import type { Observation } from '../../doctor/observation.ts';
import type { Host, Patient } from '../../doctor/patient.ts';
import { THERE_AND_BACK } from '../../doctor/there.ts';
import { findTraces, type Trace, tracePart } from '../../doctor/traces.ts';
import { cancelled, ExpectedError, failed } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import type { Installed } from '../../unit/installed.ts';
import { wrap } from '../../wrap.ts';
import type { Context } from '../context.ts';
import { findAll, findTunnel } from '../find.ts';

/**
 * What a doctor's visit is about: an installed tunnel, what is left of one, or the machine alone (undefined).
 * @throws ExpectedError exit code 3 when there is no such tunnel, 2 when there are several, 1 when a file system does not answer
 */
export async function findSubject(context: Context, name: string | undefined, draft: Draft): Promise<Installed | undefined> {
  const outOfTime = AbortSignal.timeout(TIME_TO_FIND);
  const machine = inTime(context.machine, AbortSignal.any([context.signal, outOfTime]));
  try {
    return await lookForSubject({ ...context, machine }, name, draft);
  } catch (error) {
    if (!outOfTime.aborted || !(error instanceof CutShort)) throw error;
    throw failed('files-silent', `The directories that tunnels are installed in do not answer within ${TIME_TO_FIND / 1000} s.`, `See which it is, and the file system that it lies on (findmnt): ls /etc/systemd/system /etc/revtun ${context.who.home}/.config`);
  }
}

/** Milliseconds in which a few small files are read, however busy the machine is. */
const TIME_TO_FIND = 8000;

async function lookForSubject(context: Context, name: string | undefined, draft: Draft): Promise<Installed | undefined> {
  const { machine, who } = context;
  const isNone = name === undefined && (await findAll(context, draft.scope)).length === 0;
  const scopes = draft.scope === undefined ? (['system', 'user'] as const) : [draft.scope];
  try {
    if (!isNone) return await findTunnel(context, name, draft);
  } catch (error) {
    const trace = error instanceof ExpectedError && error.id === 'no-tunnel' ? (await traces()).find((one) => one.name === name) : undefined;
    if (!trace) throw error;
    return trace;
  }
  const found = await traces();
  return found.length === 1 ? found[0] : undefined;

  async function traces(): Promise<Trace[]> {
    return (await Promise.all(scopes.map((scope) => findTraces(machine, scope, who)))).flat();
  }
}

/** Milliseconds from the beginning in which a tunnel that is on its way may come up, and in which even the last word has to be said. */
const [PATIENCE, LAST_WORD] = [TIME_FOR_ALL - 3000, TIME_FOR_ALL + 1000];

/** Looks at all of it, telling each link as it is seen. @throws ExpectedError when cancelled */
export async function examination(context: Context, subject: Installed | undefined): Promise<readonly Observation[]> {
  const began = performance.now();
  const outOfTime = AbortSignal.timeout(TIME_FOR_ALL);
  const signal = AbortSignal.any([context.signal, outOfTime]);
  const machine = inTime(context.machine, signal);
  const facts = await readFacts(machine, context.who).catch((error: unknown) => {
    if (!outOfTime.aborted) throw error;
    return undefined;
  });
  const seen: Observation[] = [];
  for await (const observation of facts ? look({ machine, who: context.who, facts, signal }, subject, outOfTime) : [noAnswer('machine')]) {
    seen.push(observation);
    tell(context, observation);
  }
  if (context.signal.aborted) throw cancelled();
  if (!facts || !subject?.tunnel || causeIn(seen)) return seen;
  // Past the time for all of it, too: what systemd has to say of it takes no more than a moment.
  const took = performance.now() - began;
  const end = AbortSignal.any([context.signal, AbortSignal.timeout(Math.max(0, Math.ceil(LAST_WORD - took)))]);
  const patient: Patient = { machine: inTime(context.machine, end), who: context.who, facts, signal: end, installed: subject, tunnel: subject.tunnel };
  const last = await lastWord(patient, PATIENCE - took);
  if (last) tell(context, last);
  return last ? [...seen, last] : seen;
}

async function* look(host: Host, subject: Installed | undefined, outOfTime: AbortSignal): AsyncGenerator<Observation> {
  let sound = true;
  for await (const observation of examine(host, MACHINE, outOfTime)) {
    sound &&= observation.level !== 'fault';
    yield observation;
  }
  if (!sound || !subject) return;
  const { tunnel } = subject;
  if (tunnel) yield* examine<Patient>({ ...host, installed: subject, tunnel }, [...INSTALLED, ...THERE_AND_BACK], outOfTime);
  else yield* examine(host, [['unit', tracePart({ ...subject, tunnel })]], outOfTime);
}

/** The first fault: what comes after it may only follow from it. */
export const causeIn = (seen: readonly Observation[]) => seen.find(({ level }) => level === 'fault');

const MARK = { ok: 'done', unknown: 'unknown', fault: 'fault' } as const;

/** Columns that the name of what was looked at takes, the mark left out. */
const NAME_WIDTH = 12;

function tell({ output }: Context, { check, level, says }: Observation): void {
  const [first = '', ...rest] = says.split('\n');
  const text = [`${check.padEnd(NAME_WIDTH)} ${first}`, ...rest.map((line) => `${' '.repeat(NAME_WIDTH + 1)}${line.trimStart()}`)].join('\n');
  output.mark(MARK[level], wrap(text, '  ', ' '.repeat(NAME_WIDTH + 1)).trimStart());
}
