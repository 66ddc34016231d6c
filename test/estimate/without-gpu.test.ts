/** An estimate loads no WebGPU: this file's process never opens a device. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
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
