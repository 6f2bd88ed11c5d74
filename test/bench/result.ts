import { median, quantile, ratios, type Series } from './series.ts';

/** What a ratio should come to. */
export interface Aim {
  readonly bound: 'at most' | 'at least';
  readonly ratio: number;
}

/** One line of the report: ours beside what it is held against. */
export interface Result {
  readonly what: string;
  readonly ours: string;
  readonly against: string;
  readonly ratio: string;
  readonly aim: string;
  /** Undefined where nothing is aimed at. */
  readonly met: boolean | undefined;
}

export interface Comparison {
  readonly what: string;
  readonly ours: Series;
  readonly against: Series;
  /** Words for one value, with its unit. */
  readonly show: (value: number) => string;
  readonly aim?: Aim;
  /** Which end of a series is its best: the least of times, the most of speeds. */
  readonly best: 'least' | 'most';
}

/** The verdict goes by the median of the rounds' own ratios. */
export function compare({ what, ours, against, show, aim, best }: Comparison): Result {
  const each = ratios(ours, against);
  const end = (series: Series) => (best === 'least' ? Math.min(...series) : Math.max(...series));
  const value = (series: Series) => show(median(series)) + (series.length > 1 ? ` (${best} ${show(end(series))})` : '');
  const ratio = median(each);
  return {
    what,
    ours: value(ours),
    against: value(against),
    ratio: times(ratio) + (each.length > 1 ? ` (${times(quantile(each, 0.25))} to ${times(quantile(each, 0.75))}; ${best} ${times(end(ours) / end(against))})` : ''),
    aim: aim ? `${aim.bound} ${times(aim.ratio)}` : '',
    met: aim && (aim.bound === 'at most' ? ratio <= aim.ratio : ratio >= aim.ratio),
  };
}

const times = (ratio: number) => `${ratio.toFixed(2)}×`;

export const ms = (value: number) => `${value.toFixed(0)} ms`;
export const mbPerSecond = (value: number) => `${value.toFixed(0)} MB/s`;
export const kb = (bytes: number) => `${(bytes / 1000).toFixed(0)} kB`;
