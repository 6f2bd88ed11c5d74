import { recognise } from '../checks/sshFailure.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import type { Scope } from '../tunnel/tunnel.ts';
import { journalctlArgv } from '../unit/systemctl.ts';

/** Fields of a journal entry that tell why a tunnel went down (systemd.journal-fields(7)). */
interface Entry {
  readonly MESSAGE?: unknown;
  readonly MESSAGE_ID?: unknown;
  readonly SYSLOG_IDENTIFIER?: unknown;
  readonly __REALTIME_TIMESTAMP?: unknown;
  readonly _SYSTEMD_CGROUP?: unknown;
}

/** systemd's catalogue ids (sd-messages.h). */
const STARTING = '7d4958e842da4a758f6c1cdc7b36dcc5';
const STARTED = '39f53479d3a045ac8e11786248231fbf';
/** By hand, or with the machine. */
const STOPPING = 'de5b426a63be47a7b6ac3eaac82e2f6f';
const WENT_DOWN: readonly unknown[] = [
  'd9b373ed55a64feb8242e02dbe79a49c', // failed with a result
  '5eb03494b6584870a536b337290809b3', // restart scheduled: all that is said of a tunnel through a jump host
];

/** Why the unit's ssh gave up since a moment, in its own words; undefined when the journal does not say. */
export async function reasonSince(machine: Machine, scope: Scope, who: Identity, unit: string, since: Date): Promise<string | undefined> {
  return tellingWords(await readJournal(machine, scope, who, unit, '--since', `@${Math.floor(since.getTime() / 1000)}`));
}

/** Why the tunnel last went down or failed to come up; undefined when it never did, or when its journal may not be read. */
export async function lastReason(machine: Machine, scope: Scope, who: Identity, unit: string): Promise<string | undefined> {
  const entries = await readJournal(machine, scope, who, unit);
  const isEnd = ({ MESSAGE_ID }: Entry) => WENT_DOWN.includes(MESSAGE_ID);
  const upTo = entries.slice(0, entries.findLastIndex(isEnd) + 1);
  const attempt = upTo.slice(Math.max(upTo.findLastIndex(({ MESSAGE_ID }) => MESSAGE_ID === STARTING), 0));
  const end = attempt.find(isEnd);
  // With -f and -y, ssh has no words for a session that the other side closed (clientloop.c writes them to stderr).
  return end && (tellingWords(attempt) ?? (await lastWordsBefore(machine, scope, who, end)) ?? 'the server closed the connection');
}

/**
 * What an ssh said right before its service went down, and journald could not tell whose it was: of a process that has
 * ended before it is looked at, only the identifier and the pid are known.
 */
async function lastWordsBefore(machine: Machine, scope: Scope, who: Identity, { __REALTIME_TIMESTAMP: at }: Entry): Promise<string | undefined> {
  const seconds = Number(at) / 1e6;
  const span = ['--since', `@${Math.floor(seconds) - 1}`, '--until', `@${Math.ceil(seconds)}`];
  return tellingWords((await readEntries(machine, journalctlArgv(scope, who, undefined, 'SYSLOG_IDENTIFIER=ssh', ...span))).filter(({ _SYSTEMD_CGROUP: group }) => group === undefined));
}

/** A tunnel that was up went down, and nobody asked for it. */
export interface Drop {
  readonly at: Date;
  /** Milliseconds that it had been up. */
  readonly lasted: number;
  /** In ssh's words; undefined when the other side closed the connection without one. */
  readonly reason: string | undefined;
  /** Sessions that its account on the server still had when it was back; undefined where it does not release. */
  readonly released: number | undefined;
}

/**
 * Every drop since a moment, oldest first; undefined when the journal may not be read, or is empty. Of those that a clock
 * which was ahead then has put into the future, nobody knows how long ago they were: they are left out.
 */
export async function dropsSince(machine: Machine, scope: Scope, who: Identity, unit: string, since: Date): Promise<readonly Drop[] | undefined> {
  const entries = await readJournal(machine, scope, who, unit, '--since', `@${Math.floor(since.getTime() / 1000)}`, '--output-fields', 'MESSAGE,MESSAGE_ID,SYSLOG_IDENTIFIER');
  if (entries.length === 0) return undefined;
  const drops: (Drop & { released: number | undefined })[] = [];
  let [attempt, upSince]: [Entry[], number | undefined] = [[], undefined];
  for (const entry of entries) {
    const { MESSAGE_ID: id, MESSAGE: message } = entry;
    const at = Number(entry.__REALTIME_TIMESTAMP) / 1000;
    const [, released] = typeof message === 'string' ? RELEASED.exec(message) ?? [] : [];
    const last = drops.at(-1);
    if (last && released !== undefined) last.released ??= Number(released);
    if (id === STARTING) attempt = [];
    attempt.push(entry);
    if (id === STARTED) upSince = at;
    if (upSince !== undefined && WENT_DOWN.includes(id)) drops.push({ at: new Date(at), lasted: at - upSince, reason: tellingWords(attempt), released: undefined });
    if (id === STOPPING || WENT_DOWN.includes(id)) upSince = undefined;
  }
  return drops.filter(({ at }) => at.getTime() <= Date.now());
}

const readJournal = (machine: Machine, scope: Scope, who: Identity, unit: string, ...span: string[]): Promise<Entry[]> =>
  readEntries(machine, journalctlArgv(scope, who, unit, ...span));

async function readEntries(machine: Machine, argv: readonly string[]): Promise<Entry[]> {
  const { stdout } = await machine.run([...argv, '-n', '300', '-o', 'json', '--no-pager'], { timeoutMs: 10_000 });
  return stdout.split('\n').flatMap(readEntry);
}

/** A journalctl that was ended for its slowness leaves half a line. */
function readEntry(line: string): Entry[] {
  try {
    return line.startsWith('{') ? [JSON.parse(line) as Entry] : [];
  } catch {
    return [];
  }
}

/** ssh writes its reasons under its own name; of its last words the ones that name a cause count most. */
function tellingWords(entries: readonly Entry[]): string | undefined {
  const said = entries.flatMap(({ MESSAGE, SYSLOG_IDENTIFIER }) =>
    typeof MESSAGE === 'string' && typeof SYSLOG_IDENTIFIER === 'string' ? [{ message: MESSAGE.trim(), speaker: SYSLOG_IDENTIFIER }] : []);
  const words = said.filter(({ speaker }) => /(^|\/)ssh$/.test(speaker)).map(({ message }) => message);
  const own = words.filter((message) => !RELEASED.test(message));
  const telling = own.findLast((message) => recognise(message) !== undefined) ?? own.at(-1);
  const prevented = said.map(({ message }) => NOT_BEGUN.exec(message)?.[1]).find((message) => message !== undefined);
  // ssh goes on trying until systemd ends it, and then has no last word.
  return telling ?? prevented ?? (said.some(({ message }) => OUT_OF_TIME.test(message)) ? 'the server could not be reached in time' : undefined);
}

/** What the account on the server says of a release that went well. */
const RELEASED = /^released (\d+)$/;

/** systemd's words for what keeps a service from beginning (execute.c). */
const NOT_BEGUN = /: (Failed (?:to set up|at step) .*)/;

/** systemd's words for TimeoutStartSec= (service.c). */
const OUT_OF_TIME = /: start(-pre)? operation timed out/;
