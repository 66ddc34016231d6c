import { describe, expect, it } from 'vitest';
import { matmulNn, matmulNt, matmulTn } from '../../src/kernels/matmul.ts';
import { Bench } from '../gpu/harness.ts';

const values = (n: number, k: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * k + k) * 2);

/** sum over the depth in f64, indices by function. */
function product(
  rows: number,
  cols: number,
  depth: number,
  a: (r: number, d: number) => number,
  b: (d: number, c: number) => number,
) {
  return Float64Array.from({ length: rows * cols }, (_, i) => {
    let sum = 0;
    for (let d = 0; d < depth; d++) sum += a(Math.floor(i / cols), d) * b(d, i % cols);
    return sum;
  });
}

/** f32 sums of K products of size up to 4: error below K * eps * 4, with room for none of the terms to be dropped. */
function expectProduct(got: Float32Array, want: Float64Array, depth: number) {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs((got[i] as number) - (want[i] as number));
    if (!(error <= 4 * depth * 2 ** -23)) throw new Error(`[${i}]: got ${got[i]}, want ${want[i]}`);
  }
}

const SIZES = [
  [1, 1, 1],
  [3, 5, 7],
  [4, 4, 4],
  [5, 9, 12],
  [8, 16, 64],
  [33, 31, 20],
  [66, 37, 130],
] as const;

describe('matmul', () => {
  for (const [M, N, K] of SIZES) {
    for (const accumulate of [false, true]) {
      const start = (n: number) => (accumulate ? values(n, 0.11) : new Float32Array(n).fill(Number.NaN));
      const added = (want: Float64Array, scale: number) =>
        want.map((v, i) => v * scale + (accumulate ? (values(want.length, 0.11)[i] as number) : 0));

      it(`nt ${M}x${N}x${K} accumulate=${accumulate}`, async () => {
        const bench = new Bench({ maxWorkgroups: 7 });
        const x = values(M * K, 0.37);
        const w = values(N * K, 0.73);
        const y = bench.input('y', start(M * N));
        matmulNt(bench.tape, { M, N, K, x: bench.input('x', x), w: bench.input('w', w), y, scale: 0.5, accumulate });
        await bench.run();
        const want = product(
          M,
          N,
          K,
          (m, k) => x[m * K + k] as number,
          (k, n) => w[n * K + k] as number,
        );
        expectProduct(await bench.read(y), added(want, 0.5), K + 1);
      });

      it(`nn ${M}x${N}x${K} accumulate=${accumulate}`, async () => {
        const bench = new Bench({ maxWorkgroups: 7 });
        const x = values(M * N, 0.37);
        const w = values(N * K, 0.73);
        const y = bench.input('y', start(M * K));
        matmulNn(bench.tape, { M, N, K, x: bench.input('x', x), w: bench.input('w', w), y, scale: 0.5, accumulate });
        await bench.run();
        const want = product(
          M,
          K,
          N,
          (m, n) => x[m * N + n] as number,
          (n, k) => w[n * K + k] as number,
        );
        expectProduct(await bench.read(y), added(want, 0.5), N + 1);
      });

      it(`tn ${M}x${N}x${K} accumulate=${accumulate}`, async () => {
        const bench = new Bench({ maxWorkgroups: 7 });
        const d = values(M * N, 0.37);
        const x = values(M * K, 0.73);
        const y = bench.input('y', start(N * K));
        matmulTn(bench.tape, { M, N, K, d: bench.input('d', d), x: bench.input('x', x), y, scale: 0.5, accumulate });
        await bench.run();
        const want = product(
          N,
          K,
          M,
          (n, m) => d[m * N + n] as number,
          (m, k) => x[m * K + k] as number,
        );
        expectProduct(await bench.read(y), added(want, 0.5), M + 1);
      });
    }
  }
});
