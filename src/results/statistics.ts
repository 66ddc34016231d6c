/** Statistics of a handful of values: medians, quantiles, spread, and an interval that holds for any distribution. */
import {
  max as largest,
  mean,
  median,
  quantileSorted,
  sampleStandardDeviation,
  min as smallest,
} from 'simple-statistics';

export { mean, median };

/** Values up to which the binomial is summed; 2^-n of more is no longer a number. */
const MOST_EXACT = 1000;

export type Interval = [low: number, high: number];

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
 * Computes the 95 % interval of the median by order statistics: the k-th smallest and k-th largest value, k as large as
 * a coin allows. It holds for any distribution, and is the range from six values on, where 95 % first is possible; null below.
 */
export function medianInterval(values: readonly number[]): Interval | null {
  const n = values.length;
  const outside = n > MOST_EXACT ? Math.floor(n / 2 - 0.98 * Math.sqrt(n)) : valuesOutside(n);
  if (outside === 0) return null;
  const sorted = ascending(values);
  return [sorted[outside - 1]!, sorted[n - outside]!];
}

/** Largest k for which fewer than k of n fair coins show heads with a chance of at most 2.5 %. */
function valuesOutside(n: number): number {
  let outside = 0;
  let chance = 0.5 ** n;
  for (let tail = chance; tail <= 0.025; tail += chance) {
    outside++;
    chance *= (n - outside + 1) / outside;
  }
  return outside;
}

/** Computes median, interval and spread of one metric over the seeds of one arm; null for no values. */
export function summarizeValues(values: readonly number[]) {
  if (values.length === 0) return null;
  return {
    n: values.length,
    median: median([...values]),
    ci95: medianInterval(values),
    mean: mean([...values]),
    sd: standardDeviation(values),
    min: smallest([...values]),
    max: largest([...values]),
  };
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}
