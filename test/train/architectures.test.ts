/**
 * Whole runs of every architecture: estimate equals peak, checkpointing changes no bit, and missing tensors are named.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { estimateRun } from '../../src/estimate/estimate.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { openCheckpoint, type TensorSource } from '../../src/formats/checkpoint.ts';
import { ARCHITECTURES } from '../../src/formats/hf-architectures.ts';
import { parseModelConfig, readModelConfig } from '../../src/formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { checkWeights } from '../../src/model/check-weights.ts';
import { parameterCount } from '../../src/model/modules.ts';
import { loadShaders } from '../../src/node/device.ts';
import { nodeReader } from '../../src/node/files.ts';
import { device } from '../gpu/harness.ts';
import { trainConfig } from '../model/open.ts';
import { expectSameBits } from '../ref/compare.ts';
import { GOLDEN } from './open.ts';
import { ADAPTER, bytesOf, type Files, learnableRows, runTraining } from './run.ts';

const ROOT = path.join(GOLDEN, 'architectures');
const NAMES = readdirSync(ROOT).filter((name) => !name.includes('.'));
const shaders = loadShaders();

const files: Files = new Map([
  ['rows.jsonl', [learnableRows(1, 4, 12, 128), learnableRows(2, 3, 20, 128)].join('')],
  ['eval.jsonl', learnableRows(3, 3, 16, 128)],
]);
const run = (name: string, form: string, settings: Partial<TrainConfig>) => {
  const evaluation = { eval_datasets: [{ path: 'eval.jsonl' }], per_device_eval_batch_size: 2, max_steps: 4 };
  const model_name_or_path = path.join(ROOT, name, form);
  return runTraining({ '.': files }, { model_name_or_path, ...evaluation, ...settings });
};

const METHODS: Record<string, [form: string, settings: Partial<TrainConfig>]> = {
  lora: ['dense', { method: 'lora', lora_dropout: 0.1 }],
  qlora: ['bnb-4bit', { method: 'qlora', load_in_4bit: true }],
  'full, checkpointed': ['dense', { method: 'full', gradient_checkpointing: true }],
};

/** LoRA runs by architecture, checked by themselves and against checkpointed ones. */
const plainRuns = new Map<string, ReturnType<typeof run>>();
function plainRun(name: string): ReturnType<typeof run> {
  const known = plainRuns.get(name) ?? run(name, ...(METHODS.lora as (typeof METHODS)[string]));
  plainRuns.set(name, known);
  return known;
}

test('every architecture has a golden model', async () => {
  const read = NAMES.map(
    async (name) => (await readModelConfig(nodeReader(path.join(ROOT, name, 'dense')))).architecture,
  );
  expect([...new Set(await Promise.all(read))].sort()).toEqual([...ARCHITECTURES].sort());
});

describe.each(NAMES)('%s', (name) => {
  test.each(Object.keys(METHODS))('%s: the estimate is the peak, to the byte', async (method) => {
    const [form, settings] = METHODS[method] as (typeof METHODS)[string];
    const { input, result, losses } = method === 'lora' ? await plainRun(name) : await run(name, form, settings);
    const estimate = estimateRun(input.layout, input.config, input.batches.shapes, device.profile, shaders);
    expect(estimate.byCategory).toEqual(result.ledger.peak.byCategory);
    expect(estimate.phases).toEqual(result.ledger.phasePeaks);
    expect(losses.length).toBe(4);
    expect(losses.every(Number.isFinite)).toBe(true);
  });

  test('a checkpointed run takes less memory and ends in the same bits', async () => {
    const [form, settings] = METHODS.lora as (typeof METHODS)[string];
    const plain = await plainRun(name);
    const checkpointed = await run(name, form, { ...settings, gradient_checkpointing: true });
    expect(checkpointed.losses).toEqual(plain.losses);
    const [a, b] = [plain, checkpointed].map((one) => new Uint32Array(bytesOf(one, ADAPTER).slice().buffer));
    expectSameBits('adapter', b as Uint32Array, a as Uint32Array);
    const activations = ({ result }: typeof plain) => result.ledger.peak.byCategory.activations;
    expect(activations(checkpointed)).toBeLessThan(activations(plain));
  });

  test('a missing tensor, whichever, is named', async () => {
    const reader = nodeReader(path.join(ROOT, name, 'dense'));
    const [config, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
    await checkWeights(config, source);
    const tensors = source.names();
    expect(tensors.length).toBeGreaterThanOrEqual(15);
    for (const missing of tensors) {
      await expect(checkWeights(config, without(source, missing))).rejects.toThrow(missing);
    }
  });
});

function without(source: TensorSource, missing: string): TensorSource {
  return Object.assign(Object.create(source) as TensorSource, {
    has: (name: string) => name !== missing && source.has(name),
    info: (name: string) => source.info(name === missing ? `${missing} of no such name` : name),
  });
}

// parameters as published
const PUBLISHED: Record<string, [shape: object, parameters: number]> = {
  'Mistral 7B v0.1': [
    {
      model_type: 'mistral',
      vocab_size: 32_000,
      hidden_size: 4096,
      intermediate_size: 14_336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
    },
    7_241_732_096,
  ],
  'Qwen2.5 0.5B': [
    {
      model_type: 'qwen2',
      vocab_size: 151_936,
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      tie_word_embeddings: true,
    },
    494_032_768,
  ],
  'Qwen3 0.6B': [
    {
      model_type: 'qwen3',
      vocab_size: 151_936,
      hidden_size: 1024,
      intermediate_size: 3072,
      head_dim: 128,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      tie_word_embeddings: true,
    },
    596_049_920,
  ],
  'Gemma 2B': [
    {
      model_type: 'gemma',
      vocab_size: 256_000,
      hidden_size: 2048,
      intermediate_size: 16_384,
      num_hidden_layers: 18,
      num_attention_heads: 8,
      num_key_value_heads: 1,
    },
    2_506_172_416,
  ],
  'Phi-3 mini': [
    {
      model_type: 'phi3',
      vocab_size: 32_064,
      hidden_size: 3072,
      intermediate_size: 8192,
      num_hidden_layers: 32,
      num_attention_heads: 32,
    },
    3_821_079_552,
  ],
  'SmolLM3 3B': [
    {
      model_type: 'smollm3',
      vocab_size: 128_256,
      hidden_size: 2048,
      intermediate_size: 11_008,
      num_hidden_layers: 36,
      num_attention_heads: 16,
    },
    3_075_098_624,
  ],
  'OLMo 2 7B': [
    {
      model_type: 'olmo2',
      vocab_size: 100_352,
      hidden_size: 4096,
      intermediate_size: 11_008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
    },
    7_298_617_344,
  ],
};

test.each(Object.keys(PUBLISHED))('%s: estimated from its config.json alone', async (name) => {
  const [shape, parameters] = PUBLISHED[name] as (typeof PUBLISHED)[string];
  const model = parseModelConfig({ ...shape, dtype: 'bfloat16' });
  expect(parameterCount(model)).toBe(parameters);
  const config = trainConfig(name, {
    method: 'qlora',
    load_in_4bit: true,
    bnb_4bit_use_double_quant: true,
    lora_target_modules: 'all-linear',
    per_device_train_batch_size: 1,
    max_length: 512,
  });
  const estimate = await estimateModel(model, config, KNOWN_PROFILES.nvidia as DeviceProfile, shaders);
  const quantized = (estimate.quantizedLinears?.tensors ?? []).reduce((sum, { elements }) => sum + elements, 0);
  // 16 bits for plain weights, 4.127 for quantized ones; norms and biases are f32
  const expected = 2 * (parameters - quantized) + (4.127 / 8) * quantized;
  const { base_weights, quant_state } = estimate.byCategory;
  expect(Math.abs((base_weights + quant_state) / expected - 1)).toBeLessThan(1e-3);
});
