/** Weights that are trained beside an adapter are laid out in f32 and never quantized, or refused. */
import path from 'node:path';
import { expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { Machine } from '../../src/gpu/machine.ts';
import { declareModel } from '../../src/model/declare.ts';
import { isTrainable } from '../../src/model/weight.ts';
import { loadShaders } from '../../src/node/device.ts';
import { nodeReader } from '../../src/node/files.ts';
import { modelLayout } from '../../src/train/model-layout.ts';
import { rejection } from '../formats/files.ts';
import { trainConfig } from '../model/open.ts';
import { GOLDEN } from './open.ts';

const DENSE = path.join(GOLDEN, 'llama/untied-gqa-f32');
const FOUR_BIT = path.join(GOLDEN, 'peft-steps/qlora/base');

async function layout(directory: string, overrides: Partial<TrainConfig>) {
  const reader = nodeReader(directory);
  const [model, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
  const config = trainConfig(directory, { method: 'qlora', load_in_4bit: true, ...overrides });
  return modelLayout({ config, model, source, adapter: null, maxPositions: 8 });
}

test('in QLoRA a module that is trained whole is f32, and every other linear layer is quantized', async () => {
  const { spec } = await layout(DENSE, {
    lora_modules_to_save: ['k_proj', 'lm_head'],
    lora_target_modules: ['q_proj'],
  });
  const profile = KNOWN_PROFILES.lavapipe as DeviceProfile;
  const { ledger, residents } = new Machine({ device: null, profile, shaders: loadShaders() });
  const { weights, trainable } = declareModel(residents, spec, 2 ** 27);
  for (const [name, weight] of weights) {
    const isWhole = /k_proj|lm_head/.test(name);
    expect(isTrainable(weight), name).toBe(isWhole);
    expect(weight.kind, name).toBe(isWhole || name.includes('embed_tokens') ? 'dense' : '4bit');
  }
  expect([...trainable.tensors.keys()].filter((name) => !name.includes('lora_')).sort()).toEqual([
    'lm_head.weight',
    'model.layers.0.self_attn.k_proj.weight',
    'model.layers.1.self_attn.k_proj.weight',
  ]);
  // no frozen original beside what is trained
  const labels = ledger.entries.map(({ label }) => label);
  expect(labels.some((label) => /k_proj|lm_head/.test(label))).toBe(false);
});

test('a module that the checkpoint has in 4 bits is not trained', async () => {
  const error = await rejection(
    layout(FOUR_BIT, { lora_modules_to_save: ['k_proj'], lora_target_modules: ['q_proj'] }),
  );
  expect(error.message).toContain(
    'lora_modules_to_save: trains model.layers.0.self_attn.k_proj, which this checkpoint has in 4 bits',
  );
  // norms and the head are not
  const { lora } = await layout(FOUR_BIT, {
    lora_modules_to_save: ['norm', 'lm_head'],
    lora_target_modules: ['q_proj'],
  });
  expect(lora?.layout.trained.length).toBe(6);
});

test("problems of a fresh adapter go by the settings' names", async () => {
  const settings = { lora_modules_to_save: ['wte'], lora_target_modules: ['q_proj'] };
  expect((await rejection(layout(DENSE, settings))).message).toMatch(/^lora_modules_to_save: "wte" matches no module/);
  const unmatched = { lora_target_modules: ['wq'], exclude_modules: ['wk'] };
  expect((await rejection(layout(DENSE, unmatched))).message).toMatch(/^lora_target_modules: "wq" matches no layer/);
});

test('an estimate takes an adapter that exists as it is, as long as something matches', async () => {
  const existing = { adapter_name_or_path: 'a', lora_target_modules: ['q_proj', 'wq'], lora_modules_to_save: ['wte'] };
  expect((await layout(DENSE, existing)).lora?.layout.targets.length).toBe(2);
  const other = { ...existing, lora_target_modules: ['wq'] };
  expect((await rejection(layout(DENSE, other))).message).toMatch(/^lora_target_modules: "wq" matches no layer/);
});
