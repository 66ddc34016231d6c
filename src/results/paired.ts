/** Two arms compared pair by pair: what the pairs show, and whether they are enough to name a winner. */
import { max as largest, median, min as smallest } from 'simple-statistics';
import { signedRankInterval, signedRankP } from './signed-rank.ts';
import type { Interval } from './statistics.ts';

/** Fewer pairs of a noisy metric name no winner and have no interval: no exact test of five pairs goes below 0.05. */
export const MIN_PAIRS = 6;
/** Chance of naming any winner in a headline where the arms do not differ. */
export const SIGNIFICANCE = 0.05;
/** Stands in place of a winner where there is none. */
export const UNDECIDED = '~';
/** Pairs from which a metric that repeats exactly may have a winner: one run repeats nothing. */
const MIN_EXACT_PAIRS = 2;

export type SeededValue = { readonly seed: number; readonly value: number };
export type Better = 'lower' | 'higher';
export type Arms = { readonly baseline: string; readonly treatment: string };
export type Pair = { readonly seed: number; readonly baseline: number; readonly treatment: number };

export type PairedComparison = {
  readonly n: number;
  readonly seeds: number[];
  /** Treatment minus baseline, seed by seed. */
  readonly differences: number[];
  /** Median of the differences, which is not the difference of the arms' medians. */
  readonly median_difference: number;
  readonly difference_range: Interval;
  /** Null below six pairs, where no interval covers 95 %, and where the differences do not vary. */
  readonly difference_ci95: Interval | null;
  /** Ratios are null where a baseline is 0 or below, as a drop of loss can be. */
  readonly median_ratio: number | null;
  readonly ratio_range: Interval | null;
  readonly ratio_ci95: Interval | null;
  /** Every run of an arm gave the same number: nothing is left to chance, and nothing is tested. */
  readonly repeats_exactly: boolean;
  /** Wilcoxon's signed-rank test, exact and two-sided; null below six pairs and where both arms repeat exactly. */
  readonly p_value: number | null;
};

/** Pairs two arms by seed, ascending, leaving out seeds that only one arm has. */
export function pairBySeed(baseline: readonly SeededValue[], treatment: readonly SeededValue[]): Pair[] {
  const bySeed = new Map(treatment.map(({ seed, value }) => [seed, value]));
  return baseline
    .flatMap(({ seed, value }) => (bySeed.has(seed) ? [{ seed, baseline: value, treatment: bySeed.get(seed)! }] : []))
    .sort((a, b) => a.seed - b.seed);
}

/**
 * Compares one metric pair by pair. Ratios are tested by their logarithms where every value is positive, so that a noise
 * in percent is symmetric; else differences are. Null where no seed is in both arms.
 */
export function comparePairs(
  baseline: readonly SeededValue[],
  treatment: readonly SeededValue[],
): PairedComparison | null {
  const pairs = pairBySeed(baseline, treatment);
  if (pairs.length === 0) return null;
  const differences = pairs.map((pair) => pair.treatment - pair.baseline);
  const ratios = pairs.every((pair) => pair.baseline > 0) ? pairs.map((pair) => pair.treatment / pair.baseline) : null;
  const isPositive = ratios?.every((ratio) => ratio > 0) === true;
  const repeatsExactly = isConstant(pairs.map((p) => p.baseline)) && isConstant(pairs.map((p) => p.treatment));
  const isTested = pairs.length >= MIN_PAIRS && !repeatsExactly;
  const logRatioInterval = isTested && isPositive ? signedRankInterval(ratios.map(Math.log)) : null;
  return {
    n: pairs.length,
    seeds: pairs.map((pair) => pair.seed),
    differences,
    median_difference: median(differences),
    difference_range: rangeOf(differences),
    difference_ci95: isTested ? signedRankInterval(differences) : null,
    median_ratio: ratios && median(ratios),
    ratio_range: ratios && rangeOf(ratios),
    ratio_ci95: logRatioInterval && [Math.exp(logRatioInterval[0]), Math.exp(logRatioInterval[1])],
    repeats_exactly: repeatsExactly,
    p_value: isTested ? signedRankP(isPositive ? ratios.map(Math.log) : differences) : null,
  };
}

/** Names the arm that a metric favours by the sign of the median difference; `~` where it is 0. */
export function favoured(arms: Arms, better: Better, medianDifference: number): string {
  if (medianDifference === 0) return UNDECIDED;
  return medianDifference < 0 === (better === 'lower') ? arms.treatment : arms.baseline;
}

/** Whether numbers that repeat exactly, and by how many pairs, are enough to name a winner. */
export function isShownExactly({ n, repeats_exactly }: PairedComparison): boolean {
  return repeats_exactly && n >= MIN_EXACT_PAIRS;
}

function isConstant(values: readonly number[]): boolean {
  return values.every((value) => value === values[0]);
}

function rangeOf(values: readonly number[]): Interval {
  return [smallest([...values]), largest([...values])];
}
