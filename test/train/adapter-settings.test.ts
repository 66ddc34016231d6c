/** An adapter that training continues with decides its own shape; the run decides dropout. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { nodeReader } from '../../src/node/files.ts';
import { withAdapterSettings } from '../../src/train/adapter-settings.ts';
import { GOLDEN } from './open.ts';

const base = {
  model_name_or_path: path.join(GOLDEN, 'llama/untied-gqa-f32'),
  adapter_name_or_path: path.join(GOLDEN, 'peft-steps/lora/adapter-init'),
  datasets: '[{path: rows.jsonl}]',
};
const settingsWith = (flags: Record<string, string>) =>
  withAdapterSettings(loadTrainConfig({ flags: { ...base, ...flags } }), nodeReader);

describe('withAdapterSettings', () => {
  test('takes rank, alpha and targets from adapter_config.json', async () => {
    const { values } = await settingsWith({});
    expect([values.lora_r, values.lora_alpha, values.lora_dropout]).toEqual([4, 8, 0]);
    expect(values.lora_target_modules).toHaveLength(14);
  });

  test('a setting that says something else is an error that names both', async () => {
    await expect(settingsWith({ lora_r: '64' })).rejects.toThrow(/lora_r: got 64.*has 4.*adapter_config\.json/);
    await expect(settingsWith({ lora_target_modules: '[q_proj]' })).rejects.toThrow(/lora_target_modules/);
  });

  test('other words for the same targets, and another dropout, are no contradiction', async () => {
    const { values } = await settingsWith({ lora_target_modules: 'all-linear', lora_dropout: '0.1' });
    expect([values.lora_target_modules, values.lora_dropout]).toEqual(['all-linear', 0.1]);
  });
});
