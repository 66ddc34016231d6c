import { describe, expect, test } from 'vitest';
import { ConfigError, DataError } from '../../src/errors.ts';
import { parseModelConfig, readModelConfig } from '../../src/formats/hf-config.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { goldenDirectory, rejection, thrown } from './files.ts';

const BASE = {
  architectures: ['LlamaForCausalLM'],
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};
const LLAMA3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

test('config.json as transformers writes it', async () => {
  expect(await readModelConfig(goldenDirectory('llama-sharded-bf16'))).toEqual({
    architecture: 'LlamaForCausalLM',
    model_type: 'llama',
    vocab_size: 32,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 4,
    hidden_act: 'silu',
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_type: 'llama3', rope_theta: 500000, ...LLAMA3, original_max_position_embeddings: 32 },
    tie_word_embeddings: false,
    sliding_window: null,
    layer_types: ['full_attention', 'full_attention'],
    no_rope_layers: [1, 1],
    attention_bias: false,
    mlp_bias: false,
    initializer_range: 0.02,
    bos_token_id: 1,
    eos_token_id: [2],
    pad_token_id: null,
    dtype: 'bfloat16',
    quantization_config: null,
  });
  expect((await readModelConfig(goldenDirectory('llama-tied-f16'))).tie_word_embeddings).toBe(true);
  const quantized = await readModelConfig(goldenDirectory('bnb-nf4-nested-bf16'));
  expect(quantized.quantization_config?.bnb_4bit_quant_type).toBe('nf4');
});

describe('spellings and defaults', () => {
  test('what is left out or null takes the defaults of transformers', () => {
    const config = parseModelConfig({ ...BASE, num_key_value_heads: null, head_dim: null });
    expect(config).toMatchObject({
      num_key_value_heads: 4,
      head_dim: 4,
      rms_norm_eps: 1e-6,
      dtype: null,
      bos_token_id: 1,
      eos_token_id: [2],
      pad_token_id: null,
    });
    expect(config.rope_parameters).toEqual({ rope_type: 'default', rope_theta: 10_000 });
    expect(parseModelConfig({ ...BASE, architectures: undefined, model_type: 'llama' }).architecture).toBe(
      'LlamaForCausalLM',
    );
  });

  test('rope in the spelling of transformers 4 (rope_type or type) and 5', () => {
    const want = { rope_type: 'llama3', rope_theta: 500_000, ...LLAMA3 };
    const four = parseModelConfig({ ...BASE, rope_theta: 500_000, rope_scaling: { rope_type: 'llama3', ...LLAMA3 } });
    const older = parseModelConfig({ ...BASE, rope_theta: 500_000, rope_scaling: { type: 'llama3', ...LLAMA3 } });
    const five = parseModelConfig({ ...BASE, rope_parameters: { ...want } });
    for (const config of [four, older, five]) expect(config.rope_parameters).toEqual(want);
    expect(parseModelConfig({ ...BASE, rope_theta: 1e6, rope_scaling: null }).rope_parameters.rope_theta).toBe(1e6);
  });

  test('torch_dtype and dtype, one eos id and several, an explicit head_dim', () => {
    expect(parseModelConfig({ ...BASE, torch_dtype: 'float16' }).dtype).toBe('float16');
    expect(parseModelConfig({ ...BASE, dtype: 'float16', torch_dtype: 'float16' }).dtype).toBe('float16');
    expect(parseModelConfig({ ...BASE, eos_token_id: [3, 4] }).eos_token_id).toEqual([3, 4]);
    expect(parseModelConfig({ ...BASE, head_dim: 32 }).head_dim).toBe(32);
  });
});

describe('what nibble cannot follow is refused by name', () => {
  const cases: Record<string, [object, string]> = {
    architecture: [
      { architectures: ['MambaForCausalLM'] },
      'architectures: is "MambaForCausalLM"; supported are LlamaForCausalLM',
    ],
    'no architecture': [{ architectures: undefined }, 'architectures: is null; supported are'],
    'model type': [{ architectures: null, model_type: 'gpt2' }, 'architectures: is "gpt2"'],
    activation: [{ hidden_act: 'gelu' }, 'hidden_act: is "gelu"; supported for llama are silu'],
    dtype: [{ dtype: 'float8_e4m3fn' }, 'dtype: is "float8_e4m3fn"; supported are float32, float16, bfloat16'],
    torch_dtype: [{ torch_dtype: 'int8' }, 'torch_dtype: is "int8"'],
    'rope type': [
      { rope_scaling: { type: 'polar', factor: 2 } },
      'rope_scaling.rope_type: is "polar"; supported are default, linear, llama3, yarn',
    ],
    'rope type that goes by the length': [
      { rope_parameters: { rope_type: 'dynamic', factor: 2 } },
      'rope_parameters.rope_type: is "dynamic", whose frequencies change with the length of the sequence; supported are',
    ],
    'linear without its factor': [{ rope_scaling: { type: 'linear' } }, 'rope_scaling.factor: is absent'],
    'rope by layer type': [
      { rope_parameters: { full_attention: { rope_type: 'default' } } },
      'settings by layer type are not supported',
    ],
    'llama3 without its factor': [
      { rope_parameters: { rope_type: 'llama3', ...LLAMA3, factor: undefined } },
      'rope_parameters.factor: is absent',
    ],
    'llama3 with its limits swapped': [
      { rope_parameters: { rope_type: 'llama3', ...LLAMA3, high_freq_factor: 1 } },
      'rope_parameters.high_freq_factor: is 1, needs more than low_freq_factor 1',
    ],
    'partial rotary': [{ partial_rotary_factor: 0.5 }, 'config.json: partial_rotary_factor: is 0.5; only 1'],
    'partial rotary within the scaling': [
      { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
      'config.json: rope_parameters.partial_rotary_factor: is 0.5; only 1',
    ],
    'a base of rotation beside the scaling': [
      { rope_theta: -1, rope_scaling: { type: 'linear', factor: 2 } },
      'config.json: rope_theta: is -1, needs a number above 0',
    ],
    'one within the scaling': [
      { rope_theta: -1, rope_parameters: { rope_type: 'default', rope_theta: -1 } },
      'config.json: rope_parameters.rope_theta: is -1, needs a number above 0',
    ],
    'two dtypes': [
      { dtype: 'float32', torch_dtype: 'float16' },
      'config.json: dtype: is "float32", and torch_dtype, its other spelling, is "float16". Keep the one that is meant',
    ],
    'two bases of rotary frequencies': [
      { rope_theta: 500_000, rope_parameters: { rope_type: 'default', rope_theta: 10_000 } },
      'config.json: rope_parameters.rope_theta: is 10000, and rope_theta, its other spelling, is 500000',
    ],
    'two rope types': [
      { rope_scaling: { type: 'linear', rope_type: 'default', factor: 2 } },
      'config.json: rope_scaling.rope_type: is "default", and rope_scaling.type, its other spelling, is "linear"',
    ],
    'the scalings of two versions': [
      {
        rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 1e4 },
        rope_scaling: { type: 'linear', factor: 4 },
      },
      'config.json: rope_parameters.factor: is 2, and rope_scaling.factor, its other spelling, is 4',
    ],
    'an architecture that is not here, and a type that is': [
      { architectures: ['GPT2LMHeadModel'], model_type: 'llama' },
      'architectures: is "GPT2LMHeadModel"; supported are LlamaForCausalLM',
    ],
    'a later architecture, and the type of the first': [
      { architectures: ['Llama4ForCausalLM'], model_type: 'llama' },
      'architectures: is "Llama4ForCausalLM"; supported are LlamaForCausalLM',
    ],
    'an architecture and the type of another': [
      { model_type: 'mistral' },
      'config.json: model_type: is "mistral", and architectures says LlamaForCausalLM. Keep the one that is meant',
    ],
    'attention dropout': [{ attention_dropout: 0.1 }, 'attention_dropout: is 0.1; only 0'],
    'missing field': [{ hidden_size: undefined }, 'hidden_size: is absent, needs a whole number'],
    'field of another type': [{ vocab_size: '32' }, 'vocab_size: is "32", needs a whole number'],
    'layers beyond reason': [
      { num_hidden_layers: 1e15 },
      'num_hidden_layers: is 1000000000000000, needs at most 10000',
    ],
    'hidden size not divisible': [{ hidden_size: 18 }, 'hidden_size: is 18, not a multiple of num_attention_heads 4'],
    'odd head_dim': [{ head_dim: 5 }, 'head_dim: is 5; rotary embeddings need an even one'],
    'kv heads': [{ num_key_value_heads: 3 }, 'num_attention_heads: is 4, not a multiple of num_key_value_heads 3'],
    'token beyond the vocabulary': [{ eos_token_id: [1, 32] }, 'eos_token_id: is 32, needs less than vocab_size 32'],
    gptq: [
      { quantization_config: { quant_method: 'gptq', bits: 4 } },
      'quantization_config: asks for "gptq"; supported is bitsandbytes 4-bit',
    ],
    '8-bit': [
      { quantization_config: { quant_method: 'bitsandbytes', load_in_8bit: true } },
      'asks for bitsandbytes 8-bit',
    ],
    'flag of another type': [{ tie_word_embeddings: 'yes' }, 'tie_word_embeddings: is "yes", needs true or false'],
  };
  for (const [name, [change, message]] of Object.entries(cases)) {
    test(name, () => {
      const error = thrown(() => parseModelConfig({ ...BASE, ...change }, 'dir/config.json'));
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).problems.length).toBe(1);
      expect(error.message).toContain(message);
    });
  }
});

test('several problems come at once', () => {
  const error = thrown(() => parseModelConfig({ ...BASE, hidden_act: 'gelu', vocab_size: 0, rope_theta: -1 }));
  expect((error as ConfigError).problems.map(({ path }) => path)).toEqual([
    'config.json: vocab_size',
    'config.json: hidden_act',
    'config.json: rope_theta',
  ]);
});

test('an absent config.json and one that is not JSON are DataErrors', async () => {
  expect(await rejection(readModelConfig(memoryReader(new Map())))).toBeInstanceOf(DataError);
  const broken = memoryReader(new Map([['config.json', '{']]), 'm');
  expect((await rejection(readModelConfig(broken))).message).toContain('m/config.json: is not JSON');
});

describe('what transformers takes is taken, with a note', () => {
  const noted = (changes: object) => {
    const notes: string[] = [];
    return { config: parseModelConfig({ ...BASE, ...changes }, 'config.json', notes), notes };
  };

  test.each(['pad_token_id', 'bos_token_id', 'eos_token_id'])('%s: -1 is none', (key) => {
    const { config, notes } = noted({ [key]: -1 });
    expect(config[key as 'pad_token_id']).toEqual(key === 'eos_token_id' ? [] : null);
    expect(notes).toEqual([`config.json: ${key} is -1, read as none`]);
    expect(thrown(() => noted({ [key]: -2 })).message).toContain(`${key}: is -2, needs a token id`);
  });

  test.each([['LLaMAForCausalLM'], ['LlamaModel'], ['llamaForSequenceClassification']])(
    '%s, by its model_type',
    (name) => {
      const { config, notes } = noted({ architectures: [name], model_type: 'llama' });
      expect(config.architecture).toBe('LlamaForCausalLM');
      expect(notes).toEqual([
        `config.json: architectures is "${name}", read as LlamaForCausalLM by its model_type "llama"`,
      ]);
    },
  );

  test('swish, the other name of silu; equal spellings; a file that says nothing twice', () => {
    expect(noted({ hidden_act: 'swish' })).toMatchObject({ config: { hidden_act: 'silu' }, notes: [] });
    const same = {
      rope_theta: 5e5,
      rope_parameters: { rope_type: 'default', rope_theta: 500_000 },
      rope_scaling: null,
    };
    expect(noted({ ...same, dtype: 'float16', torch_dtype: 'float16' }).config.rope_parameters.rope_theta).toBe(5e5);
    expect(noted({ model_type: 'llama' }).notes).toEqual([]);
  });
});
