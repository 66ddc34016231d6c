/** Wilcoxon's signed-rank test, exact, and the interval that belongs to it, for a handful of paired differences. */
import type { Interval } from './statistics.ts';

/** Pairs above which the null distribution is taken as normal; suites have tens of seeds. */
const MOST_EXACT = 200;
/** Two sides of an interval that covers 95 %. */
const TAIL = 0.025;

/**
 * Computes the two-sided p-value that paired differences are symmetric about zero. Differences of zero are left out, equal
 * sizes share the mean of their ranks, and the null distribution is that of those ranks, so that ties keep the test exact
 * (Pratt's alternative is not used). 1 where no difference is left.
 */
export function signedRankP(differences: readonly number[]): number {
  const nonZero = differences.filter((difference) => difference !== 0);
  if (nonZero.length === 0) return 1;
  const ranks = doubledRanks(nonZero.map(Math.abs));
  const positive = ranks.reduce((sum, rank, i) => sum + (nonZero[i]! > 0 ? rank : 0), 0);
  const total = ranks.reduce((sum, rank) => sum + rank, 0);
  const smaller = Math.min(positive, total - positive);
  return Math.min(1, 2 * lowerTail(ranks, smaller));
}

/**
 * Computes the 95 % interval of the centre of the differences: the range of those centres that the test does not reject,
 * from the averages of every two of them (Hodges and Lehmann). Null below six values, where no such range covers 95 %.
 */
export function signedRankInterval(differences: readonly number[]): Interval | null {
  const n = differences.length;
  const ranks = Array.from({ length: n }, (_, i) => 2 * (i + 1));
  let outside = 0;
  while (outside <= (n * (n + 1)) / 4 && lowerTail(ranks, 2 * outside) <= TAIL) outside++;
  if (outside === 0) return null;
  const averages = walshAverages(differences);
  return [averages[outside - 1]!, averages[averages.length - outside]!];
}

/** Adjusts p-values of one family by Holm's step-down rule, in the order given. */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const adjusted = [...pValues];
  let largest = 0;
  for (const [step, i] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - step) * pValues[i]!));
    adjusted[i] = largest;
  }
  return adjusted;
}

/** Twice the ranks, from 2 on, so that the mean rank of equal values is whole. */
function doubledRanks(sizes: readonly number[]): number[] {
  const order = sizes.map((_, i) => i).sort((a, b) => sizes[a]! - sizes[b]!);
  const ranks = new Array<number>(sizes.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && sizes[order[to]!] === sizes[order[from]!]) to++;
    for (const i of order.slice(from, to)) ranks[i] = from + 1 + to;
    from = to;
  }
  return ranks;
}

/** P(sum of the ranks with a positive sign <= bound), each sign a coin's. */
function lowerTail(ranks: readonly number[], bound: number): number {
  const total = ranks.reduce((sum, rank) => sum + rank, 0);
  if (ranks.length > MOST_EXACT) {
    const variance = ranks.reduce((sum, rank) => sum + rank * rank, 0) / 4;
    // ranks are doubled: half a rank of continuity correction is one
    return normalTail((bound + 1 - total / 2) / Math.sqrt(variance));
  }
  const chances = new Float64Array(total + 1);
  chances[0] = 1;
  let reached = 0;
  for (const rank of ranks) {
    reached += rank;
    for (let sum = reached; sum >= 0; sum--) {
      chances[sum] = (chances[sum]! + (sum >= rank ? chances[sum - rank]! : 0)) / 2;
    }
  }
  return chances.subarray(0, bound + 1).reduce((sum, chance) => sum + chance, 0);
}

function walshAverages(values: readonly number[]): Float64Array {
  const n = values.length;
  const averages = new Float64Array((n * (n + 1)) / 2);
  let at = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) averages[at++] = (values[i]! + values[j]!) / 2;
  return averages.sort();
}

/** P(standard normal <= z), by Abramowitz and Stegun's 26.2.17 (7.5e-8). */
function normalTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upper = (Math.exp(-(z * z) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return z < 0 ? upper : 1 - upper;
}
