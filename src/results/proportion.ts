/** Shares of right answers: Wilson's interval, and McNemar's exact test of two arms on the same items. */
import type { Interval } from './statistics.ts';

/** Normal quantile at 0.975. */
const Z = 1.959963984540054;

/** Wilson's score interval of 95 % of a share, without continuity correction. It stays within [0, 1], at 0 and n too. */
export function wilsonInterval(successes: number, n: number): Interval {
  const share = successes / n;
  const scale = 1 + (Z * Z) / n;
  const centre = (share + (Z * Z) / (2 * n)) / scale;
  const reach = (Z / scale) * Math.sqrt((share * (1 - share)) / n + (Z * Z) / (4 * n * n));
  return [Math.max(0, centre - reach), Math.min(1, centre + reach)];
}

export type McNemar = {
  /** Items that the first arm alone has right, and the second alone. */
  readonly only_first: number;
  readonly only_second: number;
  /** Two-sided: the items on which the arms differ are a fair coin's. 1 where they differ on none. */
  readonly p_value: number;
};

/** McNemar's exact test. @param first, second: of the same items in the same order, whether each was right */
export function mcNemar(first: readonly boolean[], second: readonly boolean[]): McNemar {
  const only_first = first.filter((right, i) => right && !second[i]).length;
  const only_second = second.filter((right, i) => right && !first[i]).length;
  return { only_first, only_second, p_value: Math.min(1, 2 * coinTail(only_first, only_second)) };
}

/** P(heads of a + b fair coins <= the smaller of both). */
function coinTail(a: number, b: number): number {
  const n = a + b;
  // in logarithms: 2^-n of more than a thousand coins is no number any more
  let log = -n * Math.LN2;
  let tail = Math.exp(log);
  for (let k = 1; k <= Math.min(a, b); k++) {
    log += Math.log((n - k + 1) / k);
    tail += Math.exp(log);
  }
  return tail;
}
