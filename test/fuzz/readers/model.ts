/** config.json of models, and what a plan makes of it. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { loadTrainConfig } from '../../../src/config/index.ts';
import { estimateMethods } from '../../../src/estimate/methods.ts';
import { CONFIG_FILE, type ModelConfig, readModelConfig } from '../../../src/formats/hf-config.ts';
import { memoryReader } from '../../../src/formats/memory.ts';
import { KNOWN_PROFILES } from '../../../src/gpu/device-profile.ts';
import { loadShaders } from '../../../src/node/device.ts';
import { bytesOf, damagedFile } from '../bytes.ts';
import { reader, require } from '../reader.ts';
import { asText, type Json, mutated } from '../values.ts';

const GOLDEN = new URL('../../golden/', import.meta.url);
const read = (path: string): Json => JSON.parse(readFileSync(new URL(path, GOLDEN), 'utf8')) as Json;

/** Configs of real models, and of a small one for each architecture. */
const configs: readonly Json[] = [
  ...readdirSync(new URL('configs/', GOLDEN))
    .filter((name) => name.endsWith('.json') && name !== 'versions.json')
    .flatMap((name) => {
      const json = read(`configs/${name}`);
      return typeof json === 'object' && json !== null && 'hidden_size' in json ? [json] : [];
    }),
  read('llama/tied-mha-bf16/config.json'),
  read('formats/bnb-nf4-nested-bf16/config.json'),
];

const inputs = fc
  .constantFrom(...configs)
  .chain(mutated)
  .chain((value) => damagedFile(bytesOf(asText(value))));

const open = (bytes: Uint8Array) => readModelConfig(memoryReader(new Map([[CONFIG_FILE, bytes]]), 'm'));

function requireSound(model: ModelConfig): void {
  const sizes = [
    'vocab_size',
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'num_attention_heads',
    'head_dim',
  ] as const;
  for (const key of [...sizes, 'num_key_value_heads', 'max_position_embeddings'] as const)
    require(Number.isSafeInteger(model[key]) && model[key] >= 1, `${key} is ${model[key]}`);
  require(model.num_attention_heads % model.num_key_value_heads === 0, 'heads do not share their keys evenly');
  require(model.head_dim % 2 === 0, `head_dim ${model.head_dim} is odd, which rotary embeddings cannot be`);
  require(Math.fround(model.rms_norm_eps) > 0 &&
    Number.isFinite(model.rms_norm_eps), `rms_norm_eps ${model.rms_norm_eps}`);
  require(Number.isFinite(model.rope_parameters.rope_theta), `rope_theta ${model.rope_parameters.rope_theta}`);
  require(model.pad_token_id === null || model.pad_token_id >= 0, `pad_token_id ${model.pad_token_id}`);
}

export const modelConfigReader = reader<Uint8Array>({
  name: 'config.json of a model',
  share: 12,
  inputs,
  read: async (bytes) => requireSound(await open(bytes)),
});

const MOST_PARAMETERS = 2e9;
const MOST_LAYERS = 8;

export const estimateReader = reader<Uint8Array>({
  name: 'estimate of a config.json',
  share: 2,
  inputs,
  read: async (bytes) => {
    const model = await open(bytes);
    const { vocab_size, hidden_size, num_hidden_layers } = model;
    // recording a plan takes time by layers, not by sizes
    if (num_hidden_layers > MOST_LAYERS || vocab_size * hidden_size > MOST_PARAMETERS) return;
    const config = loadTrainConfig({ options: { model_name_or_path: 'm', max_length: 64 } }, 'estimate');
    const profile = KNOWN_PROFILES.lavapipe!;
    const { estimates } = await estimateMethods({ config, model, modelName: 'm', profile, shaders: loadShaders() });
    for (const estimate of estimates) {
      if (estimate.peak_bytes === null) continue;
      const parts = Object.values(estimate.by_category).reduce((sum, n) => sum + n, 0);
      require(Number.isSafeInteger(estimate.peak_bytes) && estimate.peak_bytes > 0, `peak ${estimate.peak_bytes}`);
      require(parts === estimate.peak_bytes, `categories sum to ${parts}, the peak is ${estimate.peak_bytes}`);
    }
  },
});
