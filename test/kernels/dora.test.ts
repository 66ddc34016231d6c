import { describe, expect, test } from 'vitest';
import { DORA_PARTS, doraBwdDm, doraNorm, doraNormPartial, doraScale } from '../../src/kernels/dora.ts';
import { itFloat16, toHalves } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { doraNormRef } from '../ref/dora.ts';

// K odd, below, at and past the columns that the parts of a row take in one round (32, or 128 with VEC4)
const SIZES = [
  [1, 1, 1],
  [5, 31, 3],
  [20, 128, 4],
  [9, 132, 8],
  [30, 200, 2],
] as const;

/** f32 sums of up to 50 squares a part, all positive, and a root. */
const NORM_TOLERANCE = { rtol: 2e-6, atol: 0 };

function inputs(N: number, K: number, R: number) {
  const r = random(N * K + R);
  return { W: r.normal32(N * K), A: r.normal32(R * K), B: r.normal32(N * R), scaling: 0.75 };
}

describe.each(SIZES)('row norms of W + s B A, N=%i K=%i R=%i', (N, K, R) => {
  const { W, A, B, scaling } = inputs(N, K, R);
  const nothing = { m: [], bias: [] };
  const want = doraNormRef({ T: 1, N, K, R }, { W, A, B, scaling, ...nothing });

  // whole, and in two shards of rows
  test.each([N, Math.ceil(N / 2)])('%i rows at a time', async (step) => {
    const bench = new Bench({ maxWorkgroups: 7 });
    const partial = bench.output('partial', [N, DORA_PARTS]);
    const norm = bench.output('norm', [N]);
    const [a, b] = [bench.input('A', A), bench.input('B', B)];
    for (let row0 = 0; row0 < N; row0 += step) {
      const rows = Math.min(step, N - row0);
      const w = bench.input('w', W.slice(row0 * K, (row0 + rows) * K));
      doraNormPartial(bench.tape, { row0, rows, N, K, R, scaling, w, A: a, B: b, partial });
    }
    doraNorm(bench.tape, { N, partial, norm });
    await bench.run();
    expectClose('norm', await bench.read(norm), want, NORM_TOLERANCE);
  });
});

itFloat16('row norms of an f16 weight', async () => {
  const [N, K, R] = [6, 36, 3];
  const { A, B, scaling } = inputs(N, K, R);
  // multiples of 1/64 below 4 are exact in f16
  const W = Float32Array.from(random(1).integers(N * K, 512), (v) => (v - 256) / 64);
  const bench = new Bench();
  const [partial, norm] = [bench.output('partial', [N, DORA_PARTS]), bench.output('norm', [N])];
  const w = bench.input('w', toHalves(W), [N, K], { dtype: 'f16' });
  const pair = { A: bench.input('A', A), B: bench.input('B', B) };
  doraNormPartial(bench.tape, { row0: 0, rows: N, N, K, R, scaling, w, ...pair, partial });
  doraNorm(bench.tape, { N, partial, norm });
  await bench.run();
  const want = doraNormRef({ T: 1, N, K, R }, { W, A, B, scaling, m: [], bias: [] });
  expectClose('norm', await bench.read(norm), want, NORM_TOLERANCE);
});

// odd, vec4, and more elements than 7 workgroups of 64 threads
describe.each([
  [1, 1],
  [3, 63],
  [65, 20],
  [460, 5],
])('scaling of columns, T=%i N=%i', (T, N) => {
  const r = random(T * N);
  const [x, before] = [r.normal32(T * N), r.normal32(T * N)];
  const [m, norm] = [r.normal32(N), Float32Array.from(r.uniform(N, 0.5, 2))];

  test.each([
    [1, 0, false],
    [1, -1, true],
    [0, -1, true],
  ])('gain %d, offset %d, accumulate %s', async (gain, offset, accumulate) => {
    const bench = new Bench({ maxWorkgroups: 7 });
    const y = accumulate ? bench.input('y', before) : bench.output('y', [T * N]);
    const columns = { m: bench.input('m', m), norm: bench.input('norm', norm) };
    doraScale(bench.tape, { T, N, gain, offset, accumulate, x: bench.input('x', x), ...columns, y });
    await bench.run();
    const factor = (i: number) => (gain * m[i % N]!) / norm[i % N]! + offset;
    const want = Float64Array.from(x, (v, i) => v * factor(i) + (accumulate ? before[i]! : 0));
    // a division of 2.5 ulp, a product and two sums of values up to some 30
    expectClose('y', await bench.read(y), want, { rtol: 1e-6, atol: 5e-6 });
  });

  test('gradient of the magnitudes', async () => {
    const bench = new Bench({ maxWorkgroups: 7 });
    const start = before.slice(0, N);
    const dm = bench.input('dm', start);
    const call = { dy: bench.input('dy', x), u: bench.input('u', before), norm: bench.input('norm', norm) };
    doraBwdDm(bench.tape, { T, N, ...call, dm });
    await bench.run();
    const want = Float64Array.from(start);
    for (let i = 0; i < T * N; i++) want[i % N]! += (x[i]! * before[i]!) / norm[i % N]!;
    // a running f32 sum of T terms of size 1, divided by a norm of at least 0.5
    expectClose('dm', await bench.read(dm), want, { rtol: 1e-6, atol: 2.4e-6 * Math.sqrt(T) });
  });
});

test('a weight in another type is refused', () => {
  const bench = new Bench();
  const [w, x] = [bench.input('w', new Uint32Array(4), [8], { dtype: 'bf16' }), bench.output('x', [64])];
  const call = { row0: 0, rows: 1, N: 1, K: 8, R: 1, scaling: 1, w, A: x, B: x, partial: x };
  expect(() => doraNormPartial(bench.tape, call)).toThrow(/w is bf16/);
});
