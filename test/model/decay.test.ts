/** The parameters that transformers' Trainer decays, by name (test/golden/make/trainer_schedules.py), and the segments they land in. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseModelConfig } from '../../src/formats/hf-config.ts';
import { isDecayed } from '../../src/model/decay.ts';
import { parametersOf } from '../../src/model/modules.ts';

type Split = { readonly decayed: readonly string[]; readonly not_decayed: readonly string[] };
const golden = JSON.parse(readFileSync(new URL('../golden/trainer/decay.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, Split>
>;

test.each(Object.entries(golden))('%s', (_, { decayed, not_decayed }) => {
  expect(decayed.filter((name) => !isDecayed(name))).toEqual([]);
  expect(not_decayed.filter(isDecayed)).toEqual([]);
});

test('the golden names hold every kind: matrices, norms, biases, adapters, magnitudes, saved modules', () => {
  expect(Object.keys(golden)).toEqual([
    'llama',
    'llama_tied',
    'llama_biases',
    'qwen2',
    'qwen3',
    'lora_biases_saved',
    'dora',
  ]);
  const all = Object.values(golden);
  const decayed = all.flatMap((split) => split.decayed);
  const kept = all.flatMap((split) => split.not_decayed);
  for (const kind of ['lora_A', 'lora_B', 'lora_magnitude_vector', 'modules_to_save', 'embed_tokens', 'lm_head'])
    expect(
      decayed.some((name) => name.includes(kind)),
      kind,
    ).toBe(true);
  for (const kind of ['input_layernorm', 'model.norm.weight', 'q_norm', 'q_proj.bias', 'base_layer.bias'])
    expect(
      kept.some((name) => name.includes(kind)),
      kind,
    ).toBe(true);
});

const SHAPE = {
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  hidden_act: 'silu',
};

describe('full training', () => {
  test.each([
    ['llama', { model_type: 'llama' }],
    ['llama_tied', { model_type: 'llama', tie_word_embeddings: true }],
    ['llama_biases', { model_type: 'llama', attention_bias: true, mlp_bias: true }],
    ['qwen2', { model_type: 'qwen2' }],
    ['qwen3', { model_type: 'qwen3' }],
  ])('%s has the parameters of transformers, in its two groups', (name, changes) => {
    const config = parseModelConfig({ ...SHAPE, tie_word_embeddings: false, ...changes }, 'config.json');
    const names = parametersOf(config).map((parameter) => parameter.name);
    const { decayed, not_decayed } = golden[name]!;
    expect(names.filter(isDecayed).sort()).toEqual([...decayed].sort());
    expect(names.filter((parameter) => !isDecayed(parameter)).sort()).toEqual([...not_decayed].sort());
  });
});
