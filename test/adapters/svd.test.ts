import { expect, test } from 'vitest';
import { type Matrix, matrix, multiply, productSvd, transposedMatrix } from '../../src/adapters/svd.ts';

/** Deterministic values between -1 and 1. */
function drawn(rows: number, columns: number, seed: number): Matrix {
  let state = seed;
  const values = Float64Array.from({ length: rows * columns }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return (2 * state) / 2_147_483_647 - 1;
  });
  return matrix(rows, columns, values);
}

function far(a: Matrix, b: Matrix): number {
  expect([a.rows, a.columns]).toEqual([b.rows, b.columns]);
  return Math.max(...a.values.map((v, i) => Math.abs(v - (b.values[i] as number))));
}

function identity(n: number): Matrix {
  const out = matrix(n, n);
  for (let i = 0; i < n; i++) out.values[i * n + i] = 1;
  return out;
}

const scaledColumns = (U: Matrix, S: Float64Array): Matrix =>
  matrix(
    U.rows,
    U.columns,
    U.values.map((v, i) => v * (S[i % U.columns] as number)),
  );

test.each([
  [40, 5, 30],
  [7, 7, 7],
  [12, 1, 9],
  [64, 24, 48],
])('U S V is the product of (%i, %i) and (..., %i), U and V are orthonormal, S falls', (rows, r, columns) => {
  const [P, Q] = [drawn(rows, r, 11), drawn(r, columns, 17)];
  const { U, S, V } = productSvd(P, Q);
  expect(far(multiply(scaledColumns(U, S), V), multiply(P, Q))).toBeLessThan(1e-12);
  expect(far(multiply(transposedMatrix(U), U), identity(r))).toBeLessThan(1e-12);
  expect(far(multiply(V, transposedMatrix(V)), identity(r))).toBeLessThan(1e-12);
  expect([...S]).toEqual([...S].sort((a, b) => b - a));
});

test('singular values of a known matrix, and of one of a lower rank than its factors', () => {
  // [[3, 0], [4, 5]] has 3 sqrt(5) and sqrt(5)
  const known = productSvd(matrix(2, 2, Float64Array.of(3, 0, 4, 5)), identity(2));
  expect(known.S[0]).toBeCloseTo(3 * Math.sqrt(5), 12);
  expect(known.S[1]).toBeCloseTo(Math.sqrt(5), 12);
  const twice = matrix(3, 2, Float64Array.of(1, 2, 2, 4, 3, 6));
  const { U, S, V } = productSvd(twice, drawn(2, 6, 5));
  expect(S[1]).toBe(0);
  expect(far(multiply(scaledColumns(U, S), V), multiply(twice, drawn(2, 6, 5)))).toBeLessThan(1e-13);
});

test('a product of zeros has singular values of zero', () => {
  const { S } = productSvd(matrix(4, 2), drawn(2, 3, 3));
  expect([...S]).toEqual([0, 0]);
});
