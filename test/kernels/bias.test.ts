import { expect, test } from 'vitest';
import { biasBwd, biasFwd } from '../../src/kernels/bias.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { biasBwdRef, biasFwdRef } from '../ref/linear.ts';

// one, odd and vec4 rows, more elements than 7 workgroups of 64 threads, more columns than that
const SIZES = [
  [1, 1],
  [3, 63],
  [5, 64],
  [65, 20],
  [2, 461],
  [3, 1844],
] as const;

test.each(SIZES)('bias T=%i N=%i', async (T, N) => {
  const r = random(T + N);
  const [y, b, dy, db] = [r.normal32(T * N), r.normal32(N), r.normal32(T * N), r.normal32(N)];
  const bench = new Bench({ maxWorkgroups: 7 });
  const [gotY, gotDb] = [bench.input('y', y), bench.input('db', db)];
  biasFwd(bench.tape, { T, N, b: bench.input('b', b), y: gotY });
  biasBwd(bench.tape, { T, N, dy: bench.input('dy', dy), db: gotDb });
  await bench.run();
  expectClose('y', await bench.read(gotY), biasFwdRef(y, b), { rtol: 2 ** -24, atol: 0 }); // one rounding
  const want = biasBwdRef(dy, N).map((v, n) => v + db[n]!);
  // a running f32 sum of T terms of size 1
  expectClose('db', await bench.read(gotDb), want, { rtol: 0, atol: 3e-7 * Math.sqrt(T) * 4 });
});

test('with a scale, as a bias of lora_B has', async () => {
  const [T, N, scale] = [5, 12, 0.375];
  const r = random(9);
  const [y, b, dy, db] = [r.normal32(T * N), r.normal32(N), r.normal32(T * N), r.normal32(N)];
  const bench = new Bench({ maxWorkgroups: 7 });
  const [gotY, gotDb] = [bench.input('y', y), bench.input('db', db)];
  biasFwd(bench.tape, { T, N, b: bench.input('b', b), y: gotY, scale });
  biasBwd(bench.tape, { T, N, dy: bench.input('dy', dy), db: gotDb, scale });
  await bench.run();
  const scaled = b.map((value) => scale * value);
  expectClose('y', await bench.read(gotY), biasFwdRef(y, scaled), { rtol: 2 ** -23, atol: 1e-7 });
  const want = biasBwdRef(dy, N).map((v, n) => scale * v + db[n]!);
  expectClose('db', await bench.read(gotDb), want, { rtol: 0, atol: 3e-6 });
});

test('a short bias is refused by name and size', () => {
  const bench = new Bench();
  const [y, b] = [bench.output('y', [2, 8]), bench.output('b', [7])];
  expect(() => biasFwd(bench.tape, { T: 2, N: 8, b, y })).toThrow(/b is b \(7\), needs 8/);
});
