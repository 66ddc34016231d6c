/** What needs most memory: LoRA on every linear layer, then LoRA on q and v, then QLoRA on every linear layer, then QLoRA on q and v. */
import { expect, test } from 'vitest';
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { referenceModel } from '../../src/estimate/reference-models.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';
import { learnableRows, runTraining } from '../train/run.ts';

const TINY = new URL('../../bench/models/tiny/', import.meta.url).pathname;

const QUANTIZED = { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true } as const;
/** From the most memory to the least. */
const ORDER = [
  { lora_target_modules: 'all-linear' },
  { lora_target_modules: ['q_proj', 'v_proj'] },
  { ...QUANTIZED, lora_target_modules: 'all-linear' },
  { ...QUANTIZED, lora_target_modules: ['q_proj', 'v_proj'] },
] as const satisfies readonly Partial<TrainConfig>[];

const inOrder = (peaks: readonly number[]): boolean =>
  peaks.every((peak, i) => i === 0 || peak < (peaks[i - 1] as number));

test.each(['SmolLM2-135M', 'TinyLlama-1.1B', 'Llama-2-7B'] as const)('%s, by its plans', async (name) => {
  const shaders = loadShaders();
  const peaks: number[] = [];
  for (const adapted of ORDER) {
    const given = { model_name_or_path: name, max_length: 512, compute_dtype: 'float16', lora_r: 16 };
    const config = settings.parse({
      ...given,
      per_device_train_batch_size: 1,
      gradient_checkpointing: true,
      ...adapted,
    });
    const plan = await estimateModel(
      referenceModel(name),
      config as TrainConfig,
      KNOWN_PROFILES.nvidia ?? expect.unreachable(),
      shaders,
    );
    peaks.push(plan.peakBytes);
  }
  expect(peaks.length).toBe(4);
  expect(inOrder(peaks), peaks.join(' > ')).toBe(true);
});

test('where adapters or activations outweigh the base, LoRA on q and v needs less than QLoRA on every layer', async () => {
  const shaders = loadShaders();
  const peaks: number[] = [];
  for (const adapted of ORDER.slice(1, 3)) {
    const given = { model_name_or_path: 'SmolLM2-135M', max_length: 512, compute_dtype: 'float16', lora_r: 64 };
    const config = settings.parse({
      ...given,
      per_device_train_batch_size: 1,
      gradient_checkpointing: true,
      ...adapted,
    });
    const profile = KNOWN_PROFILES.nvidia ?? expect.unreachable();
    peaks.push(
      (await estimateModel(referenceModel('SmolLM2-135M'), config as TrainConfig, profile, shaders)).peakBytes,
    );
  }
  expect(peaks[0]).toBeLessThan(peaks[1] as number);
});

test('the smallest model needs less and less', async () => {
  const files = new Map([['rows.jsonl', learnableRows(1, 2, 16, 160)]]);
  const peaks: number[] = [];
  for (const method of [{}, QUANTIZED])
    for (const lora_target_modules of ['all-linear', ['q_proj', 'v_proj']]) {
      const settings = { ...method, lora_target_modules, lora_r: 2, max_steps: 1, gradient_checkpointing: true };
      const { result } = await runTraining({ '.': files }, {
        model_name_or_path: TINY,
        ...settings,
      } as Partial<TrainConfig>);
      peaks.push(result.ledger.peak.peakBytes);
      result.engine.destroy();
    }
  console.log(peaks.join(' > '));
  expect(peaks).toHaveLength(4);
  expect(peaks).toEqual([...peaks].sort((a, b) => b - a));
  expect(new Set(peaks).size).toBe(4);
});
