/** What config.json means in each architecture: refusals here, values against transformers' own reading of the same files. */
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { ARCHITECTURES, CONFIG_ROWS } from '../../src/formats/hf-architectures.ts';
import { type ModelConfig, parseModelConfig } from '../../src/formats/hf-config.ts';
import type { JsonObject } from '../../src/formats/json.ts';
import { goldenJson, thrown } from './files.ts';

type Case = { readonly name: string; readonly config: JsonObject; readonly want: JsonObject };
const cases = goldenJson<Case[]>('../configs/configs.json');

test('every architecture has golden cases', () => {
  const found = new Set(cases.map(({ config }) => config.model_type));
  expect([...found].sort()).toEqual(ARCHITECTURES.map((name) => CONFIG_ROWS[name].model_type).sort());
  expect(cases.length).toBeGreaterThan(4 * ARCHITECTURES.length);
});

/** Describes layers as the golden file does, whichever fields of config.json say it. */
function inEffect(config: ModelConfig): JsonObject {
  const { attention_bias, mlp_bias, sliding_window, layer_types, no_rope_layers, eos_token_id, ...rest } = config;
  const windows = layer_types.map((type) => (type === 'sliding_attention' ? sliding_window : null));
  return { ...rest, windows, rotates: no_rope_layers.map(Boolean), eos_token_id };
}

describe('as transformers reads it', () => {
  test.each(cases)('$name', ({ config, want }) => {
    expect(inEffect(parseModelConfig(config))).toMatchObject(want);
  });

  test.each(cases)('$name, by its model_type alone', ({ config, want }) => {
    expect(inEffect(parseModelConfig({ ...config, architectures: undefined }))).toMatchObject(want);
  });
});

const SHAPE = {
  vocab_size: 200_000,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 8,
};

describe('refused by name', () => {
  const refusals: Record<string, [object, string | RegExp]> = {
    'Gemma that looks ahead': [
      { model_type: 'gemma', use_bidirectional_attention: true },
      'use_bidirectional_attention: is true; only false is supported',
    ],
    "Gemma's other activation": [
      { model_type: 'gemma', hidden_activation: 'gelu' },
      'hidden_activation: is "gelu"; only "gelu_pytorch_tanh" is supported',
    ],
    'silu in Gemma': [
      { model_type: 'gemma', hidden_act: 'silu' },
      'hidden_act: is "silu"; supported for gemma are gelu_pytorch_tanh, gelu.',
    ],
    'gelu in Qwen2': [
      { model_type: 'qwen2', hidden_act: 'gelu' },
      'hidden_act: is "gelu"; supported for qwen2 are silu',
    ],
    "Phi-3's residual dropout": [{ model_type: 'phi3', resid_pdrop: 0.1 }, 'resid_pdrop: is 0.1; only 0 is supported'],
    "Phi-3's longrope": [
      { model_type: 'phi3', rope_scaling: { type: 'longrope', short_factor: [1], long_factor: [1] } },
      'rope_scaling.rope_type: is "longrope", whose frequencies change with the length of the sequence; supported are default.',
    ],
    'what Phi-3 calls yarn': [
      { model_type: 'phi3', rope_scaling: { type: 'yarn', factor: 2 } },
      'rope_scaling.rope_type: is "yarn"; supported are default.',
    ],
    'heads that Phi-3 rotates in part': [
      // Phi-4-mini
      { model_type: 'phi3', partial_rotary_factor: 0.75, rope_scaling: null },
      /^[^:]*: partial_rotary_factor: is 0\.75; only 1 is supported/,
    ],
    'a window of nothing': [{ model_type: 'mistral', sliding_window: 0 }, 'sliding_window: is 0, needs a whole number'],
    'layer types for other layers': [
      { model_type: 'qwen3', layer_types: ['full_attention'] },
      'layer_types: is ["full_attention"], needs a list of 2 entries, each "full_attention" or "sliding_attention"',
    ],
    'a layer type of its own': [
      { model_type: 'qwen2', layer_types: ['full_attention', 'linear_attention'] },
      'layer_types: is ["full_attention","linear_attention"], needs a list of 2 entries',
    ],
    'sliding layers without a window': [
      { model_type: 'qwen2', layer_types: ['full_attention', 'sliding_attention'] },
      'layer_types: names sliding_attention, but use_sliding_window is false',
    ],
    'rope for some other layers': [
      { model_type: 'smollm3', no_rope_layers: [1, 0, 1] },
      'no_rope_layers: is [1,0,1], needs a list of 2 entries, each 0 or 1',
    ],
  };
  test.each(Object.entries(refusals))('%s', (_, [change, message]) => {
    const error = thrown(() => parseModelConfig({ ...SHAPE, ...change }));
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems.length).toBe(1);
    expect(error.message).toMatch(message);
  });

  test('null is what it is by default, not a refusal', () => {
    const config = parseModelConfig({
      ...SHAPE,
      num_key_value_heads: 8,
      model_type: 'gemma',
      hidden_activation: null,
      attention_dropout: null,
    });
    expect(config.hidden_act).toBe('gelu_pytorch_tanh');
    const unused = parseModelConfig({ ...SHAPE, num_key_value_heads: 8, model_type: 'qwen2', max_window_layers: null });
    expect(unused.layer_types).toEqual(['full_attention', 'full_attention']);
  });
});
