/** A linear layer with DoRA and a trained bias, with and without dropout, sharded or not, against the f64 reference. */
import { describe, expect, test } from 'vitest';
import { dropoutMask } from '../../src/kernels/philox.ts';
import { embed } from '../../src/model/ops/embedding.ts';
import { linear } from '../../src/model/ops/linear.ts';
import { Bench, DEFAULT_STEP } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { doraBwdRef, doraFwdRef, doraNormRef } from '../ref/dora.ts';
import { embeddingFwdRef } from '../ref/embedding.ts';
import { linearBwdDwRef, linearBwdDxRef, linearFwdRef } from '../ref/linear.ts';
import { trained } from './trained.ts';

const SITE = 5;

describe.each([
  [7, 12, 10, 3],
  [6, 40, 64, 4],
])('DoRA, T=%i N=%i K=%i R=%i', (T, N, K, R) => {
  const r = random(T + N);
  const weights = {
    W: r.normal32(N * K),
    A: r.normal32(R * K),
    B: r.normal32(N * R),
    m: Float32Array.from(r.uniform(N, 0.5, 2)),
    bias: r.normal32(N),
    scaling: 0.5,
  };
  const [x, dy] = [r.normal32(T * K), r.normal32(T * N)];
  const shape = { T, N, K, R };
  const norm = doraNormRef(shape, weights);

  test.each([
    ['no dropout', 0, null],
    ['dropout', 0.4, null],
    // 8192 bytes: 32 of the 40 rows of K = 64
    ['dropout and shards', 0.4, 8192],
    ['no dropout, simt', 0, null],
    ['dropout and shards, simt', 0.4, 8192],
  ])('%s', async (name, p, limit) => {
    const limits = limit === null ? {} : { maxStorageBufferBindingSize: limit };
    // tiles of simt sum LoRA's term within the product; a software driver compiles small ones sooner
    const simt = { tier: 'simt', tiles: { simt: { BM: 16, BN: 16, BK: 8, TM: 4, TN: 4 } } } as const;
    const bench = new Bench({ profile: { limits: limits as never, ...(name.endsWith('simt') && simt) } });
    const { tape } = bench;
    const A = trained(bench, 'A', weights.A, [R, K]);
    const B = trained(bench, 'B', weights.B, [N, R]);
    const m = trained(bench, 'm', weights.m, [N]);
    const bias = trained(bench, 'bias', weights.bias, [N]);
    const pair = { A: A.tensor, B: B.tensor, bias: null, r: R, scaling: weights.scaling, dropout: p, site: SITE };
    const tensor = bench.input('W', weights.W, [N, K]);
    const weight = { kind: 'dense', name: 'q_proj.weight', out: N, in: K, tensor } as const;
    const layer = { name: 'q_proj', weight, bias: bias.tensor, lora: { ...pair, magnitude: m.tensor } };
    const input = bench.input('x', x, [T, K], { requiresGrad: true });
    const ctx = { tape, computeDtype: 'f32', B: 1, S: T, phase: 'train' } as const;
    const y = linear(ctx, input, layer);
    const [out, dx] = [bench.output('out', [T, N]), bench.output('dx', [T, K])];
    tape.copy(y, out);
    tape.bindGrad(y, bench.input('dy', dy, [T, N]));
    tape.backward();
    tape.copy(tape.gradOf(input), dx);
    await bench.run();

    const mask = dropoutMask({ ...DEFAULT_STEP, op: SITE }, p, T * K);
    const keep = Float64Array.from(mask, (kept) => kept / (1 - p));
    const close = (name: string, got: ArrayLike<number>, want: Float64Array) => {
      const largest = want.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      // f32 sums of at most 64 products, twice over
      expectClose(name, got, want, { rtol: 0, atol: 4e-6 * largest });
    };
    close('y', await bench.read(out), doraFwdRef(shape, weights, norm, x, keep));
    const want = doraBwdRef(shape, weights, norm, { x, keep, dy });
    close('dx', await bench.read(dx), want.dx);
    close('dA', await bench.read(A.grad), want.dA);
    close('dB', await bench.read(B.grad), want.dB);
    close('dm', await bench.read(m.grad), want.dm);
    close('dbias', await bench.read(bias.grad), want.dbias);
    expect(mask.includes(0)).toBe(p > 0);
  });
});

test('LoRA on an embedding: rows of the table with the pair on them, and the gradients of A and B', async () => {
  const [T, V, C, R, scaling, scale] = [6, 9, 8, 3, 0.5, 3];
  const r = random(3);
  const [table, A, B, dy] = [r.normal32(V * C), r.normal32(V * R), r.normal32(C * R), r.normal32(T * C)];
  const ids = Uint32Array.from([4, 8, 4, 0, 2, 8]);
  const bench = new Bench();
  const { tape } = bench;
  const [a, b] = [
    bench.input('A', A, [V, R], { requiresGrad: true }),
    bench.input('B', B, [C, R], { requiresGrad: true }),
  ];
  const [dA, dB] = [bench.input('dA', new Float32Array(V * R)), bench.input('dB', new Float32Array(C * R))];
  tape.bindGrad(a, dA);
  tape.bindGrad(b, dB);
  const weight = { kind: 'dense', name: 'embed', out: V, in: C, tensor: bench.input('table', table, [V, C]) } as const;
  const ctx = { tape, computeDtype: 'f32', B: 1, S: T, phase: 'train' } as const;
  const y = embed(
    ctx,
    bench.input('ids', ids),
    { ...weight, lora: { A: a, B: b, r: R, scaling }, tokens: null },
    scale,
  );
  const out = bench.output('out', [T, C]);
  tape.copy(y, out);
  tape.bindGrad(y, bench.input('dy', dy, [T, C]));
  tape.backward();
  await bench.run();

  const gathered = Float64Array.from({ length: T * R }, (_, i) => A[ids[Math.floor(i / R)]! * R + (i % R)]!);
  const term = linearFwdRef(gathered, B, T, C, R);
  const rows = embeddingFwdRef(ids, table, T, C).map((v, i) => scale * (v + scaling * term[i]!));
  // sums of at most 8 products of size 1
  const tolerance = { rtol: 1e-6, atol: 1e-6 };
  expectClose('y', await bench.read(out), rows, tolerance);
  const scaled = Float64Array.from(dy, (v) => scale * scaling * v);
  expectClose('dB', await bench.read(dB), linearBwdDwRef(scaled, gathered, T, C, R), { rtol: 1e-6, atol: 4e-6 });
  const da = linearBwdDxRef(scaled, B, T, C, R);
  const want = new Float64Array(V * R);
  for (let i = 0; i < T * R; i++) want[ids[Math.floor(i / R)]! * R + (i % R)]! += da[i]!;
  expectClose('dA', await bench.read(dA), want, { rtol: 1e-6, atol: 4e-6 });
});
