import { describe, expect, test } from 'vitest';
import { rmsnormBwdDw, rmsnormBwdDx, rmsnormFwd } from '../../src/kernels/rmsnorm.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { rmsnormBwdRef, rmsnormFwdRef } from '../ref/rmsnorm.ts';

const EPS = 1e-3; // large beside mean(x^2) = 0.01 of the first rows, so that leaving it out shows

// odd, vec4, more rows than 7 workgroups of 64 threads, and rows longer than the 64 lanes of a workgroup that shares one
const SIZES = [
  [1, 1, 0],
  [3, 63, 1],
  [2, 64, 0],
  [65, 20, 1],
  [460, 5, 0],
  [9, 129, 1],
  [9, 260, 0],
] as const;
const TIERS = ['direct', 'simt'] as const;

describe.each(SIZES)('rmsnorm T=%i C=%i offset=%i', (T, C, offset) => {
  const r = random(T + C);
  const x = r.normal32(T * C).map((v, i) => (i < 2 * C ? v / 10 : v));
  const [w, dy, before] = [r.normal32(C), r.normal32(T * C), r.normal32(T * C)];
  const forward = rmsnormFwdRef(x, w, T, C, EPS, offset);
  const backward = rmsnormBwdRef(x, w, forward.rstd, dy, T, C, offset);

  test.each(TIERS)('forward, %s', async (tier) => {
    const bench = new Bench({ maxWorkgroups: tier === 'direct' ? 7 : 100, profile: { tier } });
    const [y, rstd] = [bench.output('y', [T, C]), bench.output('rstd', [T])];
    rmsnormFwd(bench.tape, { T, C, eps: EPS, offset, x: bench.input('x', x), w: bench.input('w', w), y, rstd });
    await bench.run();
    // f32: a sum of C squares (C * 2^-24 at worst, all terms positive), then sqrt, a division and two products;
    // offset + w may cancel down to the rounding of 1
    const tolerance = { rtol: 1e-6, atol: offset * 1e-6 };
    expectClose('y', await bench.read(y), forward.y, tolerance);
    expectClose('rstd', await bench.read(rstd), forward.rstd, tolerance);
  });

  test.each([
    ['direct', false],
    ['direct', true],
    ['simt', false],
    ['simt', true],
  ] as const)('backward, %s, accumulate %s', async (tier, accumulate) => {
    const bench = new Bench({ maxWorkgroups: tier === 'direct' ? 7 : 100, profile: { tier } });
    const common = {
      T,
      C,
      x: bench.input('x', x),
      rstd: bench.input('rstd', Float32Array.from(forward.rstd)),
      dy: bench.input('dy', dy),
    };
    const grad = accumulate ? bench.input('dx', before) : bench.output('dx', [T, C]);
    const start = before.slice(0, C);
    const dw = bench.input('dw', start);
    rmsnormBwdDx(bench.tape, { ...common, offset, w: bench.input('w', w), dx: { grad, accumulate } });
    rmsnormBwdDw(bench.tape, { ...common, dw });
    await bench.run();
    const wantDx = backward.dx.map((v, i) => v + (accumulate ? before[i]! : 0));
    // terms of size rstd * |dy w| up to about 100, which cancel: the error is absolute
    const largest = backward.dx.reduce((a, v) => Math.max(a, Math.abs(v)), 1);
    expectClose('dx', await bench.read(grad), wantDx, { rtol: 0, atol: 5e-7 * largest });
    // a running f32 sum of T terms of size 1
    const wantDw = backward.dw.map((v, c) => v + start[c]!);
    expectClose('dw', await bench.read(dw), wantDw, { rtol: 0, atol: 3e-7 * Math.sqrt(T) * 4 });
  });
});

test('a short buffer is refused by name and size', () => {
  const bench = new Bench();
  const [x, y] = [bench.output('x', [2, 8]), bench.output('y', [15])];
  const [w, rstd] = [bench.output('w', [8]), bench.output('rstd', [2])];
  expect(() => rmsnormFwd(bench.tape, { T: 2, C: 8, eps: EPS, offset: 0, x, w, y, rstd })).toThrow(
    /y is y \(15\), needs 16/,
  );
});
