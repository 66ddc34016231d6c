import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { meanOfRows, type RowLosses, rowMean } from '../../src/results/row-error.ts';

type Golden = {
  readonly rows: readonly { tokens: number[]; sums: number[]; jackknife: number; t: number }[];
};
const { rows } = JSON.parse(
  readFileSync(new URL('../golden/statistics/scipy.json', import.meta.url), 'utf8'),
) as Golden;

test('rows of equal length: the mean and its error are those of the row means', () => {
  const means = [2, 3, 4, 5, 6, 7, 8, 9];
  const found = rowMean(
    means.map((mean) => 10 * mean),
    means.map(() => 10),
  )!;
  expect(found.value).toBe(5.5);
  expect(found.stderr).toBeCloseTo(Math.sqrt(42 / 7 / 8), 14); // squared deviations sum to 42
  expect(found.rows).toBe(8);
});

test('rows of unequal length: near the jackknife, with the quantile of SciPy', () => {
  expect(rows).toHaveLength(3);
  for (const { tokens, sums, jackknife, t } of rows) {
    const { stderr, value, ci95 } = rowMean(sums, tokens)!;
    // the jackknife keeps terms that the linearization drops: a tenth of the error at 8 rows, nothing at 400
    expect(Math.abs(stderr / jackknife - 1)).toBeLessThan(1 / tokens.length);
    // the series is 5e-5 off at 7 degrees of freedom, 1e-6 at 15
    expect(Math.abs((ci95[1] - value) / stderr - t)).toBeLessThan(6e-5);
    expect(value - ci95[0]).toBeCloseTo(ci95[1] - value, 12);
  }
});

test('rows without a token count for nothing; fewer than eight rows have no error', () => {
  const sums = [1, 2, 3, 4, 5, 6, 7, 8];
  const tokens = sums.map(() => 2);
  expect(rowMean([...sums, 0, 0], [...tokens, 0, 0])).toEqual(rowMean(sums, tokens));
  expect(rowMean([...sums.slice(1), 0], [...tokens.slice(1), 0])).toBeNull();
});

test('runs are averaged row by row, and only where they evaluated the same rows', () => {
  const losses = (after: number[], tokens = [3, 4]): RowLosses => ({ tokens, before: null, after });
  const after = ({ after: sums }: RowLosses) => sums;
  expect(meanOfRows([losses([1, 2]), losses([3, 6])], after)).toEqual({ sums: [2, 4], tokens: [3, 4] });
  expect(meanOfRows([losses([1, 2]), losses([3, 6], [3, 5])], after)).toBeNull();
  expect(meanOfRows([losses([1, 2])], ({ before }) => before)).toBeNull();
  expect(meanOfRows([], after)).toBeNull();
});
