/** What lies in float16 on tensor cores, by name: more or less of it changes bytes and numbers, and no other test would see it. */
import { afterEach, expect, test, vi } from 'vitest';
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { loadShaders } from '../../src/node/device.ts';

const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 512,
  intermediate_size: 1024,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  vocab_size: 1000,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
};

afterEach(() => vi.restoreAllMocks());

/** Labels of the planned tensors of float16 in the first layer, without its name; and the estimate. */
async function halvesOf(profile: string, more: Record<string, unknown> = {}) {
  const made = vi.spyOn(Recorder.prototype, 'tensor').mockClear();
  const given = { model_name_or_path: 'llama', max_length: 64, compute_dtype: 'float16', ...more };
  const config = settings.parse(given) as TrainConfig;
  const model = await readModelConfig(memoryReader(new Map([['config.json', JSON.stringify(LLAMA)]])));
  await estimateModel(model, config, KNOWN_PROFILES[profile]!, loadShaders());
  const halves = made.mock.results.flatMap(({ value: { label, dtype } }) => (dtype === 'f16' ? [label as string] : []));
  return [...new Set(halves.filter((label) => !label.includes('layers.1')))].sort();
}

const SCRATCH = ['q', 'k', 'v', 'o']
  .map((x) => `self_attn.${x}_proj`)
  .concat(['gate', 'up', 'down'].map((x) => `mlp.${x}_proj`));
const SCRATCHES = [...SCRATCH.map((name) => `model.layers.0.${name}.weight.scratch`), 'lm_head.weight.scratch'].sort();
/** What a layer's products read. */
const READ = [
  'layers.0.k',
  'layers.0.mlp',
  'layers.0.o',
  'layers.0.q',
  'layers.0.v',
  'model.layers.0.input_layernorm.weight.y',
  'model.layers.0.post_attention_layernorm.weight.y',
];
const gradientsOf = (...names: string[]) => names.map((name) => `d_model.layers.0.${name}_proj.weight.y`);
const GRADIENTS = ['d_layers.0.mlp', 'd_layers.0.o.half', ...gradientsOf('self_attn.k', 'self_attn.q', 'self_attn.v')];

test('on tensor cores: what products read, and the gradients that they are handed', async () => {
  expect(await halvesOf('nvidia')).toEqual([...SCRATCHES, ...READ, ...GRADIENTS].sort());
});

test('with workgroup tiles: weights alone', async () => {
  expect(await halvesOf('nvidia', { matmul_tier: 'simt' })).toEqual(SCRATCHES);
});

test('layers with DoRA take their gradient in float32, and so does the other half of a gated unit', async () => {
  const halves = await halvesOf('nvidia', { use_dora: true, lora_target_modules: ['q_proj', 'up_proj'] });
  expect(halves.filter((label) => GRADIENTS.includes(label))).toEqual([
    'd_layers.0.o.half',
    ...gradientsOf('self_attn.k', 'self_attn.v'),
  ]);
});

test('in float32: nothing', async () => {
  expect(await halvesOf('nvidia', { compute_dtype: 'float32' })).toEqual([]);
});
