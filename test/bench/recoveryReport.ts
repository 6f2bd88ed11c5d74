import { table } from './report.ts';
import { median } from './series.ts';
import { type FaultName, FAULTS } from './recoveryFaults.ts';
import { type Traffic, TRAFFICS } from './recoveryPair.ts';
import type { Recoveries } from './recoveryRounds.ts';
import type { Revoked } from './recoveryRevoked.ts';

/** What one pair of hosts has shown. */
export interface PairResult {
  readonly title: string;
  readonly faults: Partial<Record<FaultName, Recoveries>>;
  readonly revoked?: Revoked;
  /** Connections that its server turned away for a penalty in the whole run; undefined where OpenSSH knows none. */
  readonly drops?: number;
  /** Why the rest of it was not measured. */
  readonly brokeOff?: string;
}

export interface RecoveryResult {
  readonly givenUpAfter: number;
  /** Everyone, on the same versions; the one that aims at something comes first. */
  readonly contestants: readonly PairResult[];
  /** Ours with the server's end ours, on other versions. */
  readonly versions: readonly PairResult[];
  /** What else was told a key is revoked. */
  readonly others: readonly PairResult[];
}

const AIM_SECONDS = 5;
const MOST_SECONDS = 2;

/** The recovery tables as Markdown. */
export function reportRecovery({ givenUpAfter, contestants, versions, others }: RecoveryResult): string {
  const parts = [
    `Seconds from the end of a fault until the tunnel's port on the server answers: the median, then the worst of several rounds. "never" is: not within ${givenUpAfter} s.`,
    faultTable(contestants, givenUpAfter),
    verdict([...contestants.slice(0, 1), ...versions]),
  ];
  if (versions.length > 0) parts.push("Ours with the server's end ours, OpenSSH of the device → of the server:", faultTable(versions, givenUpAfter));
  const revoked = [...contestants, ...versions, ...others].filter((pair) => pair.revoked !== undefined);
  if (revoked.length > 0) parts.push('A revoked key:', revokedTable(revoked));
  for (const { title, brokeOff } of [...contestants, ...versions, ...others]) if (brokeOff !== undefined) parts.push(`NOT WHOLE: ${title} broke off: ${brokeOff}`);
  return parts.filter(Boolean).join('\n\n');
}

function faultTable(pairs: readonly PairResult[], givenUpAfter: number): string {
  const names = (Object.keys(FAULTS) as FaultName[]).filter((name) => pairs.some(({ faults }) => faults[name] !== undefined));
  const rows = names.flatMap((name) => TRAFFICS.map((traffic) => [
    `${FAULTS[name].what} (from: ${FAULTS[name].from})`, traffic, ...pairs.map(({ faults }) => cell(faults[name]?.[traffic], givenUpAfter)),
  ]));
  return table(['fault', 'tunnel', ...pairs.map(({ title }) => title)], rows);
}

function cell(series: readonly (number | null)[] | undefined, givenUpAfter: number): string {
  if (series === undefined || series.length === 0) return '';
  const known = series.filter((value) => value !== null);
  const never = `never within ${givenUpAfter} s`;
  if (known.length < series.length) return known.length === 0 ? never : `${show(median(known))}; once ${never}`;
  return known.length === 1 ? show(known[0]!) : `${show(median(known))}; ${show(Math.max(...known))}`;
}

const show = (seconds: number) => `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;

/** Judged by the worst round of each row. */
function verdict(pairs: readonly PairResult[]): string {
  const rows = pairs.flatMap(({ title, faults }) => Object.entries(faults).flatMap(([name, recoveries]) => TRAFFICS.map((traffic: Traffic) => ({
    what: `${title}: ${FAULTS[name as FaultName].what}, ${traffic}`,
    worst: Math.max(...recoveries[traffic].map((value) => value ?? Infinity)),
  }))));
  if (rows.length === 0) return '';
  const late = rows.filter(({ worst }) => worst > AIM_SECONDS);
  const quick = rows.filter(({ worst }) => worst <= MOST_SECONDS).length;
  const summary = `Aim: with the server's end ours, every row within ${AIM_SECONDS} s by its worst round, most within ${MOST_SECONDS} s. `
    + `${rows.length - late.length} of ${rows.length} rows are within ${AIM_SECONDS} s, ${quick} within ${MOST_SECONDS} s`;
  return late.length === 0 ? `${summary}: met.` : `${summary}: missed by\n\n${late.map(({ what, worst }) => `- ${what}: ${Number.isFinite(worst) ? show(worst) : 'never'}`).join('\n')}`;
}

function revokedTable(pairs: readonly PairResult[]): string {
  return table(['who', 'retried for', 'refusals', 'turned away unheard', 'another key from the same address'], pairs.map(({ title, revoked, drops }) => [
    title, `${revoked!.seconds} s`, String(revoked!.attempts), drops === undefined ? 'no penalties in this OpenSSH' : String(drops), revoked!.otherGotIn ? 'gets in' : 'is kept out',
  ]));
}
