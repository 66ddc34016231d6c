/** Rows of an adapter's update against a fused multiply-add in whole numbers, ties and subnormals included: to the bit. */
import { expect, test } from 'vitest';
import { loadWasmModule } from '../../src/node/codec.ts';
import { narrow } from '../../src/wasm/buffers.ts';
import { Codec } from '../../src/wasm/codec.ts';
import { type UpdatePair, UpdateRows } from '../../src/wasm/update.ts';
import { fma } from '../ref/fma.ts';

const codec = new Codec(await loadWasmModule());

function expected({ A, B, r, in: width, scaling }: UpdatePair, row: number, from: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, k) => {
    let sum = 0;
    for (let j = 0; j < r; j++) sum = fma(B[row * r + j] as number, A[j * width + from + k] as number, sum);
    return sum * Math.fround(scaling);
  });
}

function pairOf(r: number, width: number, rows: number, scale = 1): UpdatePair {
  const draw = (length: number, seed: number) =>
    Float32Array.from({ length }, (_, i) => Math.sin(seed + 78.233 * (i + 1)) * scale);
  return { A: draw(r * width, 1), B: draw(rows * r, 2), r, in: width, scaling: 0.3 };
}

test('where rounding twice would differ from rounding once, once it is', () => {
  const near = 1 + 2 ** -23;
  // products a hair below, at and a hair above half of the last place of the first one, 1 + 2^-23 (odd) or 1 (even)
  const products = [
    [1 - 2 ** -23, near],
    [1, 1],
    [near, near],
  ].map(([x = 0, y = 0]) => [x * 2 ** -12, y * 2 ** -12] as const);
  for (const first of [near, 1])
    for (const b of [1, -1])
      for (const [second, other] of products) {
        const A = Float32Array.from([...new Array(5).fill(first), ...new Array(5).fill(second)]);
        const pair = { A, B: Float32Array.of(1, b * other), r: 2, in: 5, scaling: 1 };
        const got = new Float32Array(5);
        new UpdateRows(codec).row(pair, 0, 0, got);
        expect(got, `${first} + ${b * other} * ${second}`).toEqual(expected(pair, 0, 0, 5));
      }
});

test.each([
  ['whole rows', 16, 64, 0, 64],
  ['parts that begin within a block of four', 3, 30, 5, 17],
  ['one column', 8, 9, 8, 1],
  ['more columns than the memory holds at once', 300, 4000, 1600, 300],
])('%s', (_, r, width, from, count) => {
  const pair = pairOf(r, width, 3);
  const rows = new UpdateRows(codec);
  for (const row of [2, 0]) {
    const got = new Float32Array(count);
    rows.row(pair, row, from, got);
    expect(got, `row ${row}`).toEqual(expected(pair, row, from, count));
  }
});

test('sums below the normal floats are rounded at their own last place', () => {
  const pair = { ...pairOf(7, 40, 2, 2 ** -70), scaling: 1 };
  const got = new Float32Array(40);
  new UpdateRows(codec).row(pair, 1, 0, got);
  expect(got).toEqual(expected(pair, 1, 0, 40));
  expect(got.some((value) => value !== 0)).toBe(true);
});

test('what else uses the codec meanwhile changes nothing', () => {
  const [one, other] = [pairOf(4, 20, 2), pairOf(4, 20, 2, 3)];
  const [rows, others] = [new UpdateRows(codec), new UpdateRows(codec)];
  const got = new Float32Array(20);
  rows.row(one, 0, 0, got);
  narrow(codec, new Float32Array(200_000).fill(7), 'bfloat16');
  others.row(other, 0, 0, got);
  rows.row(one, 1, 0, got);
  expect(got).toEqual(expected(one, 1, 0, 20));
});

test('a row that the pair does not have is refused', () => {
  expect(() => new UpdateRows(codec).row(pairOf(4, 20, 2), 2, 0, new Float32Array(20))).toThrow(/row 2 from 0 on/);
});
