/** Finite differences confirm the backward half of every f64 reference. */
import { expect, test } from 'vitest';
import { attentionBwdRef, attentionFwdRef } from './attention.ts';
import { dot, expectGradient, random } from './compare.ts';
import {
  addFwdRef,
  gegluBwdRef,
  gegluFwdRef,
  splitBwdRef,
  splitFwdRef,
  swigluBwdRef,
  swigluFwdRef,
} from './elementwise.ts';
import { embeddingBwdRef, embeddingFwdRef } from './embedding.ts';
import { biasBwdRef, biasFwdRef, linearBwdDwRef, linearBwdDxRef, linearFwdRef } from './linear.ts';
import { loraBwdRef, loraFwdRef } from './lora.ts';
import { rmsnormBwdRef, rmsnormFwdRef } from './rmsnorm.ts';
import { ropeBwdRef, ropeFwdRef, ropeTables } from './rope.ts';
import { IGNORED, xentBwdRef, xentFwdRef } from './xent.ts';

test('linear: dx and dw', () => {
  const [M, N, K] = [3, 4, 5];
  const r = random(1);
  const [x, w, dy] = [r.normal(M * K), r.normal(N * K), r.normal(M * N)];
  const loss = () => dot(linearFwdRef(x, w, M, N, K), dy);
  expectGradient('dx', loss, x, linearBwdDxRef(dy, w, M, N, K));
  expectGradient('dw', loss, w, linearBwdDwRef(dy, x, M, N, K));
});

test('bias: db', () => {
  const r = random(10);
  const [y, b, dy] = [r.normal(3 * 4), r.normal(4), r.normal(3 * 4)];
  expectGradient('db', () => dot(biasFwdRef(y, b), dy), b, biasBwdRef(dy, 4));
});

test('lora with dropout: dx, dA and dB', () => {
  const [T, inputs, outputs, R] = [3, 5, 4, 2];
  const r = random(2);
  const keep = Float64Array.from({ length: T * inputs }, (_, i) => (i % 3 === 1 ? 0 : 1 / 0.7));
  const [x, A, B, dy] = [r.normal(T * inputs), r.normal(R * inputs), r.normal(outputs * R), r.normal(T * outputs)];
  const call = { T, inputs, outputs, R, scale: 1.7, x, keep, A, B };
  const { dx, dA, dB } = loraBwdRef(call, loraFwdRef(call).u, dy);
  const loss = () => dot(loraFwdRef(call).y, dy);
  expectGradient('dx', loss, x, dx);
  expectGradient('dA', loss, A, dA);
  expectGradient('dB', loss, B, dB);
});

test('embedding: a row named twice gathers both gradients, an unnamed row none', () => {
  const [T, C, V] = [4, 3, 5];
  const ids = [2, 0, 2, 4];
  const r = random(3);
  const [table, dy] = [r.normal(V * C), r.normal(T * C)];
  const dtable = embeddingBwdRef(ids, dy, T, C, V, 1.5);
  expectGradient('dtable', () => dot(embeddingFwdRef(ids, table, T, C, 1.5), dy), table, dtable);
  expect([...dtable.subarray(1 * C, 2 * C)]).toEqual([0, 0, 0]);
});

test.each([0, 1])('rmsnorm, offset %i: dx and dw', (offset) => {
  const [T, C, eps] = [3, 6, 1e-2]; // a large eps, so that its place in the formula shows
  const r = random(4);
  const [x, w, dy] = [r.normal(T * C, 0.3), r.normal(C), r.normal(T * C)];
  const { dx, dw } = rmsnormBwdRef(x, w, rmsnormFwdRef(x, w, T, C, eps, offset).rstd, dy, T, C, offset);
  const loss = () => dot(rmsnormFwdRef(x, w, T, C, eps, offset).y, dy);
  expectGradient('dx', loss, x, dx);
  expectGradient('dw', loss, w, dw);
});

test('rope: dx, and the half-split pairs', () => {
  const shape = { T: 6, S: 3, heads: 2, D: 4, ...ropeTables(3, 4) };
  const r = random(5);
  const [x, dy] = [r.normal(6 * 2 * 4), r.normal(6 * 2 * 4)];
  expectGradient('dx', () => dot(ropeFwdRef(x, shape), dy), x, ropeBwdRef(dy, shape));
  // position 1, pair (0, 2) turns by one radian; position 0 of the second sequence not at all
  const y = ropeFwdRef(x, shape);
  expect(y[8]).toBeCloseTo(x[8]! * Math.cos(1) - x[10]! * Math.sin(1), 6);
  expect([...y.subarray(24, 32)]).toEqual([...x.subarray(24, 32)]);
});

test.each([
  ['one key/value head per query head', 1, 4, 2, 2, 4, null],
  ['grouped', 2, 3, 4, 2, 2, null],
  ['one key/value head for all', 1, 3, 3, 1, 3, null],
  ['a window of two keys', 2, 4, 2, 1, 2, 2],
] as const)('attention, %s: dq, dk and dv', (_, B, S, H, K, D, window) => {
  const shape = { B, S, H, K, D, window, scale: 0.6 };
  const r = random(6);
  const [q, k, v, dO] = [
    r.normal(B * S * H * D),
    r.normal(B * S * K * D),
    r.normal(B * S * K * D),
    r.normal(B * S * H * D),
  ];
  const { o, lse } = attentionFwdRef(shape, q, k, v);
  const { dq, dk, dv } = attentionBwdRef(shape, q, k, v, o, lse, dO);
  const loss = () => dot(attentionFwdRef(shape, q, k, v).o, dO);
  expectGradient('dq', loss, q, dq);
  expectGradient('dk', loss, k, dk);
  expectGradient('dv', loss, v, dv);
});

test('attention sees as many keys as the window says, the own one among them', () => {
  const shape = { B: 1, S: 5, H: 1, K: 1, D: 1, scale: 1 };
  const [q, v] = [new Float64Array(5), Float64Array.of(1, 10, 100, 1000, 10_000)];
  // equal scores: the output is the mean of the visible values
  expect([...attentionFwdRef({ ...shape, window: 1 }, q, q, v).o].map(Math.round)).toEqual([...v]);
  const sums = [...attentionFwdRef({ ...shape, window: 3 }, q, q, v).o].map((o, s) =>
    Math.round(o * Math.min(s + 1, 3)),
  );
  expect(sums).toEqual([1, 11, 111, 1110, 11_100]);
  const all = attentionFwdRef({ ...shape, window: null }, q, q, v).o;
  expect(attentionFwdRef({ ...shape, window: 5 }, q, q, v).o).toEqual(all);
});

test('swiglu: dgate and dup', () => {
  const r = random(7);
  const [gate, up, dh] = [r.normal(9, 2), r.normal(9), r.normal(9)];
  const { dgate, dup } = swigluBwdRef(gate, up, dh);
  const loss = () => dot(swigluFwdRef(gate, up), dh);
  expectGradient('dgate', loss, gate, dgate);
  expectGradient('dup', loss, up, dup);
});

test('geglu: dgate and dup, and gelu itself', () => {
  const r = random(11);
  const [gate, up, dh] = [r.normal(9, 2), r.normal(9), r.normal(9)];
  const { dgate, dup } = gegluBwdRef(gate, up, dh);
  const loss = () => dot(gegluFwdRef(gate, up), dh);
  expectGradient('dgate', loss, gate, dgate);
  expectGradient('dup', loss, up, dup);
  // torch.nn.functional.gelu(x, approximate='tanh') in float64
  const gelu = gegluFwdRef([-3, -0.5, 0, 1, 4], [1, 1, 1, 1, 1]);
  const want = [-0.0036373920817729943, -0.15428599017485606, 0, 0.8411919906082768, 3.9999297540518075];
  for (const [i, v] of gelu.entries()) expect(v).toBeCloseTo(want[i]!, 14);
});

test('split: the gradients of the parts are those of their columns', () => {
  const r = random(12);
  const [x, dy] = [r.normal(3 * 7), r.normal(3 * 4)];
  const band = { T: 3, width: 7, first: 2, columns: 4 };
  expectGradient('dx', () => dot(splitFwdRef(x, band), dy), x, splitBwdRef(dy, band));
});

test('residual: the gradient passes to both', () => {
  const r = random(8);
  const [a, b, dy] = [r.normal(4), r.normal(4), r.normal(4)];
  const loss = () => dot(addFwdRef(a, b), dy);
  expectGradient('da', loss, a, dy);
  expectGradient('db', loss, b, dy);
});

test('cross entropy: dlogits, and an ignored row without loss or gradient', () => {
  const [rows, V, weight] = [3, 5, 1 / 7];
  const targets = [4, IGNORED, 0];
  const r = random(9);
  const logits = r.normal(rows * V, 3);
  const dlogits = xentBwdRef(logits, targets, rows, V, weight);
  const total = () => weight * xentFwdRef(logits, targets, rows, V).reduce((a, b) => a + b);
  expectGradient('dlogits', total, logits, dlogits);
  expect(xentFwdRef(logits, targets, rows, V)[1]).toBe(0);
  expect([...dlogits.subarray(V, 2 * V)]).toEqual([0, 0, 0, 0, 0]);
});
