/** LoRA on the output head under dropout: its logits come in chunks, whose masks differ. */
import { expect, test } from 'vitest';
import { dropoutMask } from '../../src/kernels/philox.ts';
import { crossEntropy } from '../../src/model/ops/cross-entropy.ts';
import { CHUNK_STRIDE } from '../../src/model/ops/lora.ts';
import { Bench, DEFAULT_STEP } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { linearBwdDxRef, linearFwdRef } from '../ref/linear.ts';
import { loraBwdRef, loraFwdRef } from '../ref/lora.ts';
import { xentBwdRef, xentFwdRef } from '../ref/xent.ts';
import { trained } from './trained.ts';

const [T, C, V, R, SCALING, P, SITE] = [150, 16, 160, 4, 0.5, 0.4, 3];
/** Rows of f32 logits that fit the binding limit. */
const CHUNK = 64;
const LIMIT = 4 * V * CHUNK;

test('loss, dX, dA and dB in three chunks', async () => {
  const r = random(9);
  const [x, w] = [r.normal32(T * C), r.normal32(V * C, 0.5)];
  const [A, B] = [r.normal32(R * C, 0.3), r.normal32(V * R, 0.3)];
  const targets = r.integers(T, V).map((t, i) => (i % 7 === 2 ? -100 : t));
  const weight = 1 / targets.filter((t) => t >= 0).length;

  const limits = { maxStorageBufferBindingSize: LIMIT };
  const bench = new Bench({
    spare: ['targets', 'row_loss'],
    profile: { limits: limits as never },
    step: { inv_tokens: weight },
  });
  const { tape } = bench;
  const [a, b] = [trained(bench, 'A', A, [R, C]), trained(bench, 'B', B, [V, R])];
  const hidden = bench.input('x', x, [T, C], { requiresGrad: true });
  const tensor = bench.input('head', w, [V, C]);
  const pair = {
    A: a.tensor,
    B: b.tensor,
    bias: null,
    r: R,
    scaling: SCALING,
    dropout: P,
    site: SITE,
    magnitude: null,
  };
  const head = {
    name: 'lm_head',
    weight: { kind: 'dense', name: 'lm_head.weight', out: V, in: C, tensor } as const,
    bias: null,
    lora: pair,
  };
  const loss = { labels: bench.input('labels', Int32Array.from(targets)), rowLoss: bench.output('rowLoss', [T]) };
  crossEntropy({ tape, computeDtype: 'f32', B: 1, S: T, phase: 'train' }, hidden, head, loss, true);
  const dx = bench.output('dx', [T, C]);
  tape.copy(tape.gradOf(hidden), dx);
  await bench.run();

  const chunks = [0, 1, 2].map((chunk) => {
    const rows = Math.min(CHUNK, T - chunk * CHUNK);
    return dropoutMask({ ...DEFAULT_STEP, op: SITE + chunk * CHUNK_STRIDE }, P, rows * C);
  });
  expect(chunks[1]).not.toEqual(chunks[0]);
  const keep = Float64Array.from(
    chunks.flatMap((mask) => [...mask]),
    (kept) => kept / (1 - P),
  );
  const lora = { T, inputs: C, outputs: V, R, scale: SCALING, x, keep, A, B };
  const { u, y } = loraFwdRef(lora);
  const logits = linearFwdRef(x, w, T, V, C).map((v, i) => v + y[i]!);
  const dlogits = xentBwdRef(logits, targets, T, V, weight);
  const want = loraBwdRef(lora, u, dlogits);
  const direct = linearBwdDxRef(dlogits, w, T, V, C);
  const close = (name: string, got: ArrayLike<number>, wanted: Float64Array) => {
    const largest = wanted.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    // f32 sums of at most 160 terms after a softmax
    expectClose(name, got, wanted, { rtol: 0, atol: 2e-6 * largest });
  };
  close('loss', await bench.read(loss.rowLoss), xentFwdRef(logits, targets, T, V));
  close(
    'dx',
    await bench.read(dx),
    direct.map((v, i) => v + want.dx[i]!),
  );
  close('dA', await bench.read(a.grad), want.dA);
  close('dB', await bench.read(b.grad), want.dB);
});
