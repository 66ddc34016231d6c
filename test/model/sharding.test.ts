/** One binding limit against another: shards of weights and chunks of logits change no loss, and gradients by rounding only. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { crossEntropy } from '../../src/model/ops/cross-entropy.ts';
import { shardsOf, type Weight } from '../../src/model/weight.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, expectSameBits, random } from '../ref/compare.ts';
import { linearBwdDwRef, linearBwdDxRef, linearFwdRef } from '../ref/linear.ts';
import { xentBwdRef, xentFwdRef } from '../ref/xent.ts';
import { GOLDEN, openModel } from './open.ts';

const shape = { B: 1, S: 16 };
const draw = random(7);
const ids = Uint32Array.from(draw.integers(16, 128)); // in every vocabulary
const labels = Int32Array.from(draw.integers(16, 128));
labels.fill(-100, 3, 6);

async function lossAndGradients(name: string, config: Partial<TrainConfig>, limit: number | null) {
  const limits = limit === null ? {} : { maxStorageBufferBindingSize: limit };
  const open = await openModel(path.join(GOLDEN, 'llama', name), { config, shape, limits });
  const { trainable, model, weights } = open.declared;
  // a fresh adapter has B = 0, and A no gradient: give both something to say
  if (config.method !== 'full') {
    for (const { param } of trainable.tensors.values())
      open.write(param, random(param.elements).normal32(param.elements, 0.1));
  }
  const losses = await open.run('train', ids, labels);
  const gradients = await open.gradients();
  const evaluated = await open.run('eval', ids, labels);
  const tape = { profile: open.machine.profile } as never;
  const shardCount = (w: Weight) => shardsOf(tape, w, 'f32').length;
  const found = { head: shardCount(model.head.weight), embedding: shardCount(model.embed) };
  const all = [...weights.values()].reduce((sum, w) => sum + shardCount(w), 0);
  open.destroy();
  return { losses, evaluated, gradients, shards: { ...found, all }, weightCount: weights.size };
}

const lora = { method: 'lora', lora_target_modules: 'all-linear', lora_r: 4 } as const;
const qlora = { ...lora, method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true } as const;
const CASES: [string, string, Partial<TrainConfig>, number, { head: number; embedding: number }][] = [
  // 40 rows of the f32 head, 80 of the 128 rows of a mlp weight
  ['lora, f32, untied', 'untied-gqa-f32', lora, 10_240, { head: 4, embedding: 4 }],
  // without an adapter on it, a layer's dX is the sum of its shards alone
  [
    'lora on q and v only',
    'untied-gqa-f32',
    { ...lora, lora_target_modules: ['q_proj', 'v_proj'] },
    10_240,
    { head: 4, embedding: 4 },
  ],
  ['lora, bf16, tied', 'tied-mha-bf16', lora, 18_432, { head: 3, embedding: 3 }],
  ['lora, f16', 'llama3-rope-f16', lora, 10_240, { head: 4, embedding: 4 }],
  ['qlora: shards start at blocks', 'untied-gqa-f32', qlora, 10_240, { head: 4, embedding: 4 }],
  // full training binds the gradient of a linear layer whole: 128 x 64 f32
  [
    'full: the head and the embedding in shards',
    'untied-gqa-f32',
    { method: 'full' },
    32_768,
    { head: 2, embedding: 2 },
  ],
  [
    'full, tied: two writers of one gradient, each in shards',
    'tied-mha-bf16',
    { method: 'full' },
    36_864,
    { head: 2, embedding: 2 },
  ],
  ['biases', '../architectures/llama-biased/dense', lora, 18_432, { head: 2, embedding: 2 }],
  ['scaled embeddings', '../architectures/gemma/dense', lora, 18_432, { head: 2, embedding: 2 }],
  // a shard ends inside of q, and inside of gate
  ['fused projections', '../architectures/phi3/dense', lora, 24_576, { head: 2, embedding: 2 }],
];

describe('a binding limit below the weights', () => {
  test.each(CASES)('%s', async (_, name, config, limit, wanted) => {
    const one = await lossAndGradients(name, config, null);
    const many = await lossAndGradients(name, config, limit);
    expect(one.shards.all).toBe(one.weightCount);
    expect(many.shards).toMatchObject(wanted);
    expect(many.shards.all).toBeGreaterThan(many.weightCount);
    // every output is one dot product, whichever shard its row lies in
    expectSameBits('losses', many.losses, one.losses);
    expectSameBits('evaluation', many.evaluated, one.losses);
    expect(one.losses.filter((l) => l > 0).length).toBe(13);
    expect(many.gradients.size).toBe(one.gradients.size);
    for (const [tensor, want] of one.gradients) {
      // dX is a sum over shards instead of one sum: f32 rounding of sums of up to 163 terms
      const largest = want.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      expect(largest, tensor).toBeGreaterThan(0);
      expectClose(tensor, many.gradients.get(tensor) as Float32Array, want, { rtol: 0, atol: 2e-6 * largest });
    }
  });
});

describe('cross-entropy in chunks', () => {
  const [T, C, V] = [150, 16, 160];
  const x = random(1).normal32(T * C);
  const w = random(2).normal32(V * C, 0.5);
  const targets = random(3)
    .integers(T, V)
    .map((t, i) => (i % 7 === 2 ? -100 : t));
  const counted = targets.filter((t) => t >= 0).length;

  /** Loss, dX and dW of the head, and the rows of each chunk, under a binding limit. */
  async function run(limit: number | null) {
    const limits = limit === null ? {} : { maxStorageBufferBindingSize: limit };
    const bench = new Bench({
      spare: ['targets', 'row_loss'],
      profile: { limits: limits as never },
      step: { inv_tokens: 1 / counted },
    });
    const { tape } = bench;
    const hidden = bench.input('x', x, [T, C], { requiresGrad: true });
    const tensor = bench.input('head', w, [V, C], { requiresGrad: true });
    const dw = bench.input('dhead', new Float32Array(V * C), [V, C]);
    const dx = bench.output('dx', [T, C]);
    tape.bindGrad(tensor, dw);
    const loss = { labels: bench.input('labels', Int32Array.from(targets)), rowLoss: bench.output('rowLoss', [T]) };
    const weight = { kind: 'dense', name: 'lm_head.weight', out: V, in: C, tensor } as const;
    const head = { name: 'lm_head', weight, bias: null, lora: null };
    crossEntropy({ tape, computeDtype: 'f32', B: 1, S: T, phase: 'train' }, hidden, head, loss, true);
    tape.copy(tape.gradOf(hidden), dx);
    const chunks = new Set<Tensor>();
    for (const command of tape.commands) {
      if (command.kind !== 'dispatch') continue;
      for (const { tensor: t } of command.bindings) if (t.storage.category === 'logits') chunks.add(t);
    }
    await bench.run();
    const rows = [...chunks].map((t) => t.shape[0]);
    return { rows, loss: await bench.read(loss.rowLoss), dx: await bench.read(dx), dw: await bench.read(dw) };
  }

  test('equals one chunk: loss and dX to the bit, dW by rounding; and both equal f64', async () => {
    const whole = await run(null);
    expect(whole.rows).toEqual([T]);
    const logits = linearFwdRef(x, w, T, V, C);
    const wantLoss = xentFwdRef(logits, targets, T, V);
    const dlogits = xentBwdRef(logits, targets, T, V, 1 / counted);
    const close = { rtol: 1e-5, atol: 2e-6 };
    expectClose('loss', whole.loss, wantLoss, close);
    expectClose('dx', whole.dx, linearBwdDxRef(dlogits, w, T, V, C), { rtol: 1e-5, atol: 1e-8 });
    expectClose('dw', whole.dw, linearBwdDwRef(dlogits, x, T, V, C), { rtol: 1e-5, atol: 1e-7 });
    // 64 rows of 160 f32, and what 127 rows would need, which is rounded down to 64
    for (const limit of [4 * V * 64, 4 * V * 127]) {
      const chunked = await run(limit);
      expect(chunked.rows).toEqual([64, 64, 22]);
      expectSameBits('loss', chunked.loss, whole.loss);
      expectSameBits('dx', chunked.dx, whole.dx);
      expectClose('dw', chunked.dw, whole.dw, { rtol: 1e-6, atol: 1e-8 });
    }
  });
});
