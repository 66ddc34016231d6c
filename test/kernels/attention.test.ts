import { describe, expect, test } from 'vitest';
import { attentionBwd, attentionFwd } from '../../src/kernels/attention.ts';
import { Bench } from '../gpu/harness.ts';
import { attentionBwdRef, attentionFwdRef } from '../ref/attention.ts';
import { expectClose, expectSameBits, random } from '../ref/compare.ts';

// B, S, H, K, D, window: one token; around the round of four keys; one, some and all heads to a group; past 7 workgroups
// of 64; windows of one key, below, at and not a multiple of the round, of all keys, and of more than there are
const SHAPES = [
  [1, 1, 1, 1, 4, null],
  [2, 3, 2, 2, 8, null],
  [1, 4, 4, 2, 12, null],
  [2, 5, 3, 1, 16, null],
  [1, 33, 4, 2, 32, null],
  [3, 67, 6, 3, 20, null],
  [1, 1, 1, 1, 4, 1],
  [2, 9, 2, 1, 8, 1],
  [1, 9, 2, 2, 4, 3],
  [2, 17, 4, 2, 8, 4],
  [1, 33, 4, 2, 8, 10],
  [3, 67, 6, 3, 4, 21],
  [1, 13, 2, 1, 8, 13],
  [1, 13, 2, 1, 8, 4096],
] as const;

describe.each(SHAPES)('attention B=%i S=%i H=%i K=%i D=%i window=%s', (B, S, H, K, D, window) => {
  // not 1 / sqrt(D), which a kernel might have taken for granted
  const shape = { B, S, H, K, D, window, scale: 0.9 / Math.sqrt(D) };
  const r = random(S * D);
  // scores of a size that makes the softmax sharp in places: std of q.k/sqrt(D) is 4
  const [q, k, v] = [r.normal32(B * S * H * D, 2), r.normal32(B * S * K * D, 2), r.normal32(B * S * K * D)];
  const dO = r.normal32(B * S * H * D);
  const forward = attentionFwdRef(shape, q, k, v);
  const backward = attentionBwdRef(shape, q, k, v, forward.o, forward.lse, dO);
  const inputs = (bench: Bench) => ({ q: bench.input('q', q), k: bench.input('k', k), v: bench.input('v', v) });

  test('forward', async () => {
    const bench = new Bench({ maxWorkgroups: 7 });
    const [o, lse] = [bench.output('o', [B * S, H * D]), bench.output('lse', [B * S, H])];
    attentionFwd(bench.tape, { ...shape, ...inputs(bench), o, lse });
    await bench.run();
    // a score of size 20 carries 20 * 2^-24 * a few, which exp turns into a relative error of p; o is of size 1 to 3
    expectClose('o', await bench.read(o), forward.o, { rtol: 0, atol: 1e-5 });
    expectClose('lse', await bench.read(lse), forward.lse, { rtol: 1e-6, atol: 3e-6 });
  });

  test('backward', async () => {
    const bench = new Bench({ maxWorkgroups: 7 });
    const [dq, dk, dv] = [
      bench.output('dq', [B * S, H * D]),
      bench.output('dk', [B * S, K * D]),
      bench.output('dv', [B * S, K * D]),
    ];
    const delta = bench.output('delta', [B * S, H]);
    attentionBwd(bench.tape, {
      ...shape,
      ...inputs(bench),
      o: bench.input('o', Float32Array.from(forward.o)),
      lse: bench.input('lse', Float32Array.from(forward.lse)),
      dO: bench.input('dO', dO),
      delta,
      dq,
      dk,
      dv,
    });
    await bench.run();
    expectClose('delta', await bench.read(delta), backward.delta, { rtol: 1e-6, atol: 5e-6 });
    // sums over up to S*H/K terms p*(dp - delta) with dp of size 10 and the error of p as above
    const tolerance = { rtol: 1e-5, atol: 5e-5 };
    expectClose('dq', await bench.read(dq), backward.dq, tolerance);
    expectClose('dk', await bench.read(dk), backward.dk, tolerance);
    expectClose('dv', await bench.read(dv), backward.dv, tolerance);
  });
});

test('very large scores neither overflow nor vanish', async () => {
  const [S, D] = [9, 4];
  const shape = { B: 1, S, H: 1, K: 1, D, window: null, scale: 0.5 };
  const k = Float32Array.from({ length: S * D }, (_, i) => (Math.floor(i / D) % 3 === 1 ? -400 : 400));
  const q = new Float32Array(S * D).fill(10); // scores of plus and minus 8000
  const v = random(1).normal32(S * D);
  const bench = new Bench();
  const [o, lse] = [bench.output('o', [S, D]), bench.output('lse', [S, 1])];
  attentionFwd(bench.tape, {
    ...shape,
    q: bench.input('q', q),
    k: bench.input('k', k),
    v: bench.input('v', v),
    o,
    lse,
  });
  await bench.run();
  const want = attentionFwdRef(shape, q, k, v);
  expectClose('o', await bench.read(o), want.o, { rtol: 1e-6, atol: 1e-6 }); // scores are exact in f32
  expectClose('lse', await bench.read(lse), want.lse, { rtol: 1e-6, atol: 0 });
});

test('a window wider than the sequence changes no bit', async () => {
  const [B, S, H, K, D] = [2, 33, 4, 2, 16];
  const r = random(3);
  const [q, k, v] = [r.normal32(B * S * H * D), r.normal32(B * S * K * D), r.normal32(B * S * K * D)];
  const run = async (window: number | null) => {
    const bench = new Bench();
    const inputs = { q: bench.input('q', q), k: bench.input('k', k), v: bench.input('v', v) };
    const [o, lse] = [bench.output('o', [B * S, H * D]), bench.output('lse', [B * S, H])];
    attentionFwd(bench.tape, { B, S, H, K, D, window, scale: 0.25, ...inputs, o, lse });
    await bench.run();
    return bench.read(o);
  };
  expectSameBits('o', await run(4096), await run(null));
});

test('a head dim that 4 does not divide, heads that do not divide, and an empty window are refused', () => {
  const bench = new Bench();
  const x = bench.output('x', [64]);
  const call = { B: 1, S: 1, H: 2, K: 1, D: 6, window: null, scale: 1, q: x, k: x, v: x, o: x, lse: x };
  expect(() => attentionFwd(bench.tape, call)).toThrow(/head dim 6 is not a multiple of 4/);
  expect(() => attentionFwd(bench.tape, { ...call, D: 8, K: 3 })).toThrow(/2 query heads do not divide among 3/);
  expect(() => attentionFwd(bench.tape, { ...call, D: 8, window: 0 })).toThrow(/a window of 0 hides every key/);
});
