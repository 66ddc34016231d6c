/** Statistics of a handful of seeds: medians, seeded bootstrap intervals, paired differences, and when not to judge. */
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import {
  max as largest,
  mean,
  median,
  quantileSorted,
  sampleStandardDeviation,
  min as smallest,
} from 'simple-statistics';

export { mean, median };

/** Fewer pairs than this name no winner: two seeds agree by chance half of the time. */
export const MIN_SEEDS_FOR_WINNER = 3;
/** Stands in place of a winner where there is none. */
export const UNDECIDED = '~';
/** Resampling of every report; part of summary.json so that an interval can be computed again. */
export const BOOTSTRAP = { resamples: 10_000, seed: 20231 } as const;

export type Interval = [low: number, high: number];
export type Bootstrap = { readonly resamples: number; readonly seed: number };
export type SeededValue = { readonly seed: number; readonly value: number };
export type Better = 'lower' | 'higher';

/** Computes the sample standard deviation (n - 1); null below two values, where it is unknown rather than 0. */
export function standardDeviation(values: readonly number[]): number | null {
  return values.length < 2 ? null : sampleStandardDeviation([...values]);
}

/** Computes a quantile by linear interpolation at rank (n - 1) p, the default of numpy and R (Hyndman and Fan's definition 7). */
export function quantile(values: readonly number[], p: number): number {
  return quantileSorted(ascending(values), p);
}

/** Describes a distribution as run files have it (step times); null for no values. Units are those of the values. */
export function distribution(values: readonly number[]) {
  if (values.length === 0) return null;
  const sorted = ascending(values);
  return {
    values: [...values],
    count: values.length,
    mean: mean(sorted),
    sd: standardDeviation(sorted),
    p50: quantileSorted(sorted, 0.5),
    p90: quantileSorted(sorted, 0.9),
    p95: quantileSorted(sorted, 0.95),
    p99: quantileSorted(sorted, 0.99),
    min: smallest(sorted),
    max: largest(sorted),
  };
}

/**
 * Computes the percentile bootstrap interval (95 %) of the median; null below two values.
 * With three values it is their range: the chance of drawing one value three times is 1/27, above 2.5 %.
 */
export function bootstrapMedianInterval(values: readonly number[], bootstrap: Bootstrap = BOOTSTRAP): Interval | null {
  const n = values.length;
  if (n < 2) return null;
  const random = xoroshiro128plus(bootstrap.seed);
  const medians = Array.from({ length: bootstrap.resamples }, () =>
    median(Array.from({ length: n }, () => values[uniformInt(random, 0, n - 1)]!)),
  );
  const sorted = ascending(medians);
  return [quantileSorted(sorted, 0.025), quantileSorted(sorted, 0.975)];
}

/** Computes median, interval and spread of one metric over the seeds of one arm; null for no values. */
export function summarizeValues(values: readonly number[], bootstrap: Bootstrap = BOOTSTRAP) {
  if (values.length === 0) return null;
  return {
    n: values.length,
    median: median([...values]),
    ci95: bootstrapMedianInterval(values, bootstrap),
    mean: mean([...values]),
    sd: standardDeviation(values),
    min: smallest([...values]),
    max: largest([...values]),
  };
}

/** Pairs two arms by seed, ascending, leaving out seeds that only one arm has. */
export function pairBySeed(baseline: readonly SeededValue[], treatment: readonly SeededValue[]) {
  const bySeed = new Map(treatment.map(({ seed, value }) => [seed, value]));
  return baseline
    .flatMap(({ seed, value }) => (bySeed.has(seed) ? [{ seed, baseline: value, treatment: bySeed.get(seed)! }] : []))
    .sort((a, b) => a.seed - b.seed);
}

export type Arms = { readonly baseline: string; readonly treatment: string };

/**
 * Compares one metric pair by pair: treatment minus baseline seed by seed, its median and bootstrap interval, the same for
 * the ratio, and the winner if there is one. Null where no seed is in both arms.
 */
export function comparePaired(
  arms: Arms,
  better: Better,
  baseline: readonly SeededValue[],
  treatment: readonly SeededValue[],
  bootstrap: Bootstrap = BOOTSTRAP,
) {
  const pairs = pairBySeed(baseline, treatment);
  if (pairs.length === 0) return null;
  const differences = pairs.map((pair) => pair.treatment - pair.baseline);
  const ratios = pairs.every((pair) => pair.baseline > 0) ? pairs.map((pair) => pair.treatment / pair.baseline) : null;
  const differenceInterval = bootstrapMedianInterval(differences, bootstrap);
  return {
    n: pairs.length,
    seeds: pairs.map((pair) => pair.seed),
    differences,
    median_difference: median(differences),
    difference_ci95: differenceInterval,
    median_ratio: ratios === null ? null : median(ratios),
    ratio_ci95: ratios === null ? null : bootstrapMedianInterval(ratios, bootstrap),
    winner: decideWinner(arms, better, pairs.length, differenceInterval),
  };
}

/** Names the arm whose advantage the whole interval shows, else `~`; always `~` with fewer than three pairs. */
export function decideWinner(arms: Arms, better: Better, n: number, difference: Interval | null): string {
  if (n < MIN_SEEDS_FOR_WINNER || difference === null) return UNDECIDED;
  const [low, high] = difference;
  const treatmentIsLower = high < 0;
  const treatmentIsHigher = low > 0;
  if (!treatmentIsLower && !treatmentIsHigher) return UNDECIDED;
  return treatmentIsLower === (better === 'lower') ? arms.treatment : arms.baseline;
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}
