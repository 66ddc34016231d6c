/** What the rows of an evaluation leave uncertain: a standard error in which a row, not a token, is one observation. */
import type { RunRecord } from './run-schema.ts';
import type { Interval } from './statistics.ts';

export type RowLosses = NonNullable<RunRecord['eval_info']['row_losses']>;

/** A mean loss in nats per token, or a difference of two, over the same rows. */
export type RowMean = {
  readonly value: number;
  readonly stderr: number;
  readonly ci95: Interval;
  readonly rows: number;
};

/** Rows below which no error is given: the spread of a few rows says nothing of the next. */
const MIN_ROWS = 8;

/**
 * Computes the mean per token of row sums and its standard error, rows as clusters: a ratio of two sums over rows, by its
 * linearization. Null below eight rows with a token that counts.
 * @param sums nats of each row @param tokens predicted tokens of each row
 */
export function rowMean(sums: readonly number[], tokens: readonly number[]): RowMean | null {
  const counted = tokens.flatMap((count, i) => (count > 0 ? [i] : []));
  const n = counted.length;
  if (n < MIN_ROWS) return null;
  const total = counted.reduce((sum, i) => sum + tokens[i]!, 0);
  const value = counted.reduce((sum, i) => sum + sums[i]!, 0) / total;
  const squares = counted.reduce((sum, i) => sum + (sums[i]! - value * tokens[i]!) ** 2, 0);
  const stderr = Math.sqrt((n / (n - 1)) * squares) / total;
  const reach = studentQuantile975(n - 1) * stderr;
  return { value, stderr, ci95: [value - reach, value + reach], rows: n };
}

/** Averages row sums over runs, row by row; null where the runs did not evaluate the same rows. */
export function meanOfRows(
  runs: readonly RowLosses[],
  pick: (losses: RowLosses) => readonly number[] | null,
): { readonly sums: number[]; readonly tokens: readonly number[] } | null {
  const tokens = runs[0]?.tokens;
  if (tokens === undefined) return null;
  const sums = new Array<number>(tokens.length).fill(0);
  for (const losses of runs) {
    const picked = pick(losses);
    if (picked === null || !isSame(losses.tokens, tokens)) return null;
    for (const [i, loss] of picked.entries()) sums[i]! += loss / runs.length;
  }
  return { sums, tokens };
}

/** Whether two evaluations were of rows with the same numbers of tokens. */
export function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((count, i) => count === b[i]);
}

/** Student's t at 0.975 for 1 to 6 degrees of freedom, where the series is not good enough. */
const FEW_DEGREES = [12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691];

/** Student's t at 0.975: a table and, from 7 degrees of freedom on, the Cornish-Fisher series in 1 / degrees: within 0.001. */
export function studentQuantile975(degrees: number): number {
  const known = FEW_DEGREES[degrees - 1];
  if (known !== undefined) return known;
  const z = 1.959963984540054;
  const terms = [
    z,
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
  ];
  return terms.reduce((sum, term, i) => sum + term / degrees ** i, 0);
}
