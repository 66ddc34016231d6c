import { expect, test } from 'vitest';
import { expectClose, expectGradient, expectSameBits, random } from './compare.ts';

const exact = { rtol: 0, atol: 0 };

test('expectClose fails on one element, on NaN on either side, and on length', () => {
  expectClose('same', [1, 2], [1, 2], exact);
  expect(() => expectClose('y', [1, 2.5], [1, 2], { rtol: 0.1, atol: 0.1 })).toThrow(
    /1 of 2 .* \[1\]: got 2.5, want 2/,
  );
  expect(() => expectClose('y', [1, Number.NaN], [1, 2], { rtol: 1, atol: 1 })).toThrow(/got NaN/);
  expect(() => expectClose('y', [1], [Number.NaN], { rtol: 1, atol: 1 })).toThrow(/want NaN/);
  expect(() => expectClose('y', [1], [1, 2], exact)).toThrow(/length 1, want 2/);
});

test('expectSameBits tells -0 from 0 and lets a NaN equal itself', () => {
  expectSameBits('nan', Float32Array.of(Number.NaN), Float32Array.of(Number.NaN));
  expect(() => expectSameBits('zero', Float32Array.of(0), Float32Array.of(-0))).toThrow(/bits differ/);
});

test('expectGradient fails on an error of 1e-5 and on a loss that does not depend on x', () => {
  const x = Float64Array.of(2);
  const loss = () => x[0]! ** 3;
  expectGradient('dx', loss, x, [12]);
  expect(() => expectGradient('dx', loss, x, [12 * (1 + 1e-5)])).toThrow(/finite differences/);
  expect(() => expectGradient('dx', () => 1, x, [0])).toThrow(/does not depend/);
});

test('random repeats itself, and has the mean and deviation it promises', () => {
  expect(random(3).uniform(4)).toEqual(random(3).uniform(4));
  expect(random(3).uniform(4)).not.toEqual(random(4).uniform(4));
  const n = 20_000;
  const x = random(1).normal(n, 2);
  const mean = x.reduce((a, b) => a + b) / n;
  const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / n;
  // five standard errors
  expectClose('mean', [mean], [0], { rtol: 0, atol: (5 * 2) / Math.sqrt(n) });
  expectClose('variance', [variance], [4], { rtol: 5 * Math.sqrt(2 / n), atol: 0 });
});
