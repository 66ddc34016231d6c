/** Gradient checkpointing computes the same gradients, to the bit, from fewer activations. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import type { Checkpointing } from '../../src/model/ops/context.ts';
import type { ComputeDtype } from '../../src/model/weight.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { random } from '../ref/compare.ts';
import { GOLDEN, openModel } from './open.ts';

const shape = { B: 2, S: 12 };

async function run(
  name: string,
  config: Partial<TrainConfig>,
  checkpointing: Checkpointing,
  keptInputs: ComputeDtype = 'f32',
) {
  const open = await openModel(path.join(GOLDEN, name), { config, shape, checkpointing, keptInputs });
  const T = shape.B * shape.S;
  const values = random(3);
  // fresh adapters have B = 0, which would hide half of backward
  if (config.method === 'lora') {
    for (const { param } of open.declared.trainable.segments) open.write(param, values.normal32(param.elements, 0.1));
  }
  const ids = Uint32Array.from(random(1).integers(T, 32));
  const losses = await open.run('train', ids, Int32Array.from(random(2).integers(T, 32)));
  const gradients = await open.gradients();
  const activationBytes = open.machine.ledger.peak.byCategory.activations;
  const [flags] = new Uint32Array(await open.machine.read(open.machine.flags));
  open.destroy();
  return { losses, gradients, activationBytes, flags };
}

const CASES: [string, string, Partial<TrainConfig>][] = [
  ['LoRA with dropout', 'llama/untied-gqa-f32', { method: 'lora', lora_dropout: 0.3 }],
  ['DoRA', 'llama/untied-gqa-f32', { method: 'lora', use_dora: true }],
  ['full training, tied', 'formats/llama-tied-f16', { method: 'full' }],
  ['biases and windows', 'architectures/qwen2/dense', { method: 'lora', bias: 'all' }],
  ['norms between projections and rotation', 'architectures/qwen3/dense', { method: 'lora' }],
  ['parts of fused projections', 'architectures/phi3/dense', { method: 'lora' }],
];

describe.each(CASES)('%s', (_, name, config) => {
  test('gradients and losses to the bit, in less memory', async () => {
    const settings = { lora_target_modules: 'all-linear', ...config };
    const [off, selective, full] = [
      await run(name, settings, 'off'),
      await run(name, settings, 'selective'),
      await run(name, settings, 'full'),
    ];
    expect(off.gradients.size).toBeGreaterThan(10);
    for (const again of [selective, full]) {
      expect(again.losses).toEqual(off.losses);
      for (const [tensor, gradient] of off.gradients) expect(again.gradients.get(tensor), tensor).toEqual(gradient);
    }
    for (const [tensor, gradient] of off.gradients) {
      expect(
        gradient.some((v) => v !== 0),
        tensor,
      ).toBe(true);
    }
    // of two layers, one at a time: not quite half; with the products kept, norms and gated units are what is saved
    expect(full.activationBytes).toBeLessThan(0.75 * off.activationBytes);
    expect(selective.activationBytes).toBeLessThan(off.activationBytes);
    expect(full.activationBytes).toBeLessThan(selective.activationBytes);
  });
});

describe('inputs kept in float16', () => {
  itFloat16('the same losses, gradients beside those of float32, in less memory', async () => {
    for (const [name, config] of [
      ['llama/untied-gqa-f32', { method: 'lora', lora_target_modules: 'all-linear' }],
      ['formats/llama-tied-f16', { method: 'full' }],
    ] as const) {
      const [whole, half] = [await run(name, config, 'full'), await run(name, config, 'full', 'f16')];
      expect(half.losses).toEqual(whole.losses);
      expect(half.flags).toBe(0);
      expect(half.activationBytes).toBeLessThan(whole.activationBytes);
      let distance = 0;
      for (const [tensor, gradient] of whole.gradients) {
        const other = half.gradients.get(tensor) ?? new Float32Array();
        const norm = (x: ArrayLike<number>) => Math.sqrt(Array.from(x).reduce((sum, v) => sum + v * v, 0));
        const off = norm(gradient.map((v, i) => v - (other[i] ?? Number.NaN))) / norm(gradient);
        // a layer's input is off by 2^-12 of itself at most, and on average by half of that
        if (!(off < 1e-3)) throw new Error(`${name} ${tensor}: ${off} off`);
        distance = Math.max(distance, off);
      }
      // the rounded inputs were read: the layers' gradients are not those of float32
      expect(distance).toBeGreaterThan(1e-6);
    }
  });
});
