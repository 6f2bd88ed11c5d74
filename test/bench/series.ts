/** Samples of one thing, one a round. */
export type Series = readonly number[];

/**
 * Measures several things in turn, a sample each a round, so that what slows the machine for a while slows them all.
 * Every other round goes backwards: none has always the same one before it.
 */
export async function interleave<Name extends string>(rounds: number, things: Readonly<Record<Name, () => Promise<number>>>): Promise<Record<Name, Series>> {
  const names = Object.keys(things) as Name[];
  const found = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) found[name].push(await things[name]());
  }
  return found;
}

/** Linear between neighbours; `share` from 0 to 1. */
export function quantile(series: Series, share: number): number {
  const sorted = series.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return below + (above - below) * (at - Math.floor(at));
}

export const median = (series: Series) => quantile(series, 0.5);

/** One series over another, round by round: both met the same machine. */
export const ratios = (a: Series, b: Series): Series => a.map((value, round) => value / b[round]!);
