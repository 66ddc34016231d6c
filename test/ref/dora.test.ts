/** Finite differences confirm the backward half of the DoRA reference, its norms held fixed. */
import { expect, test } from 'vitest';
import { dot, expectGradient, random } from './compare.ts';
import { doraBwdRef, doraFwdRef, doraNormRef } from './dora.ts';
import { linearFwdRef } from './linear.ts';

const shape = { T: 4, N: 5, K: 6, R: 2 };
const { T, N, K, R } = shape;
const r = random(1);
const weights = {
  W: r.normal(N * K),
  A: r.normal(R * K),
  B: r.normal(N * R),
  m: r.uniform(N, 0.5, 2),
  bias: r.normal(N),
  scaling: 0.7,
};
const x = r.normal(T * K);
const dy = r.normal(T * N);
const norm = doraNormRef(shape, weights);

test.each([0, 0.3])('gradients with dropout %d', (p) => {
  const keep = Float64Array.from({ length: T * K }, (_, i) => (p > 0 && i % 3 === 1 ? 0 : 1 / (1 - p)));
  const loss = () => dot(doraFwdRef(shape, weights, norm, x, keep), dy);
  const { dx, dA, dB, dm, dbias } = doraBwdRef(shape, weights, norm, { x, keep, dy });
  expectGradient('dx', loss, x, dx);
  expectGradient('dA', loss, weights.A, dA);
  expectGradient('dB', loss, weights.B, dB);
  expectGradient('dm', loss, weights.m, dm);
  expectGradient('dbias', loss, weights.bias, dbias);
});

test('with the norms for magnitudes and B = 0 it is the base layer', () => {
  const plain = { ...weights, B: new Float64Array(N * R), bias: new Float64Array(N) };
  const norms = doraNormRef(shape, plain);
  const y = doraFwdRef(shape, { ...plain, m: norms }, norms, x, new Float64Array(T * K).fill(1));
  const want = linearFwdRef(x, weights.W, T, N, K);
  for (const [i, v] of want.entries()) expect(y[i]).toBeCloseTo(v, 12);
});
