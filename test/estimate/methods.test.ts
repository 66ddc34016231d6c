/** Estimates of all methods by one configuration: what one of them refuses is its own reason, and no end of the others. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { estimateMethods } from '../../src/estimate/methods.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';
import { nodeReader } from '../../src/node/files.ts';

const directory = path.join(new URL('../golden/', import.meta.url).pathname, 'llama', 'untied-gqa-f32');

async function estimatesOf(flags: Record<string, string>) {
  const config = loadTrainConfig({ flags: { model_name_or_path: directory, max_length: '8', ...flags } }, 'estimate');
  const model = await readModelConfig(nodeReader(directory));
  const profile = KNOWN_PROFILES.lavapipe as DeviceProfile;
  return estimateMethods({ config, model, modelName: directory, profile, shaders: loadShaders() });
}

test('PiSSA, which QLoRA has not, leaves the estimates of the other methods', async () => {
  const { estimates } = await estimatesOf({ init_lora_weights: 'pissa_niter_4', lora_r: '2' });
  const found = new Map(estimates.map((one) => [one.method, one]));
  expect(found.get('lora')?.peak_bytes).toBeGreaterThan(0);
  expect(found.get('full')?.peak_bytes).toBeGreaterThan(0);
  expect(found.get('qlora')).toMatchObject({ peak_bytes: null, reason: expect.stringContaining('is held in 4 bits') });
});

test('PiSSA that the configured method refuses is an error, as in training', async () => {
  await expect(estimatesOf({ init_lora_weights: 'pissa_niter_4', method: 'qlora' })).rejects.toThrow('held in 4 bits');
  await expect(estimatesOf({ init_lora_weights: 'pissa_niter_4', lora_r: '999' })).rejects.toThrow('a rank of at most');
});
