/** Gradient checkpointing computes the same gradients, to the bit, from fewer activations. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import type { Checkpointing } from '../../src/model/ops/context.ts';
import { random } from '../ref/compare.ts';
import { GOLDEN, openModel } from './open.ts';

const shape = { B: 2, S: 12 };

async function run(name: string, config: Partial<TrainConfig>, checkpointing: Checkpointing) {
  const open = await openModel(path.join(GOLDEN, name), { config, shape, checkpointing });
  const T = shape.B * shape.S;
  const values = random(3);
  // fresh adapters have B = 0, which would hide half of backward
  if (config.method === 'lora') {
    for (const { param } of open.declared.trainable.segments) open.write(param, values.normal32(param.elements, 0.1));
  }
  const ids = Uint32Array.from(random(1).integers(T, 32));
  const losses = await open.run('train', ids, Int32Array.from(random(2).integers(T, 32)));
  const gradients = await open.gradients();
  const activationBytes = open.parts.allocator.ledger.peak.byCategory.activations;
  open.destroy();
  return { losses, gradients, activationBytes };
}

describe.each([
  [
    'LoRA with dropout',
    'llama/untied-gqa-f32',
    { method: 'lora', lora_dropout: 0.3, lora_target_modules: 'all-linear' },
  ],
  [
    'DoRA with dropout',
    'llama/untied-gqa-f32',
    { method: 'lora', use_dora: true, lora_dropout: 0.3, lora_target_modules: 'all-linear' },
  ],
  ['full training, tied', 'formats/llama-tied-f16', { method: 'full' }],
] as [string, string, Partial<TrainConfig>][])('%s', (_, name, config) => {
  test('gradients and losses to the bit, in less memory', async () => {
    const [off, full] = [await run(name, config, 'off'), await run(name, config, 'full')];
    expect(full.losses).toEqual(off.losses);
    expect(off.gradients.size).toBeGreaterThan(10);
    for (const [tensor, gradient] of off.gradients) {
      expect(full.gradients.get(tensor), tensor).toEqual(gradient);
      expect(
        gradient.some((v) => v !== 0),
        tensor,
      ).toBe(true);
    }
    // of two layers, one at a time: not quite half
    expect(full.activationBytes).toBeLessThan(0.75 * off.activationBytes);
  });
});
