/** An estimate loads no WebGPU: this file's process never opens a device. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { referenceConfig } from '../../src/estimate/reference-models.ts';
import { parseModelConfig, readModelConfig } from '../../src/formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';
import { nodeReader } from '../../src/node/files.ts';

const directory = path.join(new URL('../golden/', import.meta.url).pathname, 'llama', 'untied-gqa-f32');

test.each(Object.keys(KNOWN_PROFILES))('%s', async (name) => {
  const profile = KNOWN_PROFILES[name];
  if (profile === undefined) throw new Error('no profile');
  const parsed = settings.parse({ model_name_or_path: directory, max_length: 32, per_device_train_batch_size: 2 });
  const config = { ...parsed, eval_steps: 1 } as TrainConfig;
  const model = await readModelConfig(nodeReader(directory));
  const estimate = await estimateModel(model, config, profile, loadShaders());
  expect(estimate.peakBytes).toBeGreaterThan(500_000);
  // webgpu defines its classes once a device is asked for
  // three words a token of the largest batch say where documents lie, which rows in one stream do not need
  const packed = await estimateModel(model, { ...config, packing: true }, profile, loadShaders());
  expect(packed.byCategory.staging - estimate.byCategory.staging).toBe(3 * 4 * 32 * 2);
  const stream = { ...config, packing: true, packing_strategy: 'wrapped' } as const;
  expect(await estimateModel(model, stream, profile, loadShaders())).toEqual(estimate);
  expect('GPUDevice' in globalThis).toBe(false);
  expect('GPUBufferUsage' in globalThis).toBe(false);
});

test('QLoRA of Llama-2-7B at 4 x 1,024, checkpointed, all in float16 that may be, takes 6.2 GiB at most', async () => {
  const flags = {
    model_name_or_path: directory,
    method: 'qlora',
    dtype: 'float16',
    compute_dtype: 'float16',
    bnb_4bit_use_double_quant: 'true',
    lora_r: '16',
    lora_target_modules: 'all-linear',
    max_length: '1024',
    per_device_train_batch_size: '4',
    gradient_checkpointing: 'true',
    gradient_checkpointing_dtype: 'float16',
  };
  const { values: config } = loadTrainConfig({ flags }, 'estimate');
  const model = parseModelConfig(referenceConfig('Llama-2-7B'), 'Llama-2-7B');
  const { peakBytes } = await estimateModel(model, config, KNOWN_PROFILES.nvidia as DeviceProfile, loadShaders());
  expect(peakBytes / 2 ** 30).toBeLessThan(6.2);
  expect(peakBytes / 2 ** 30).toBeGreaterThan(6);
});
