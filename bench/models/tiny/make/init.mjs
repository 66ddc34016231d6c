#!/usr/bin/env node
/** Writes what pretraining of the tiny model starts from. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mobyDickChapters } from '#dist/bench/builtin-data.js';
import { writeSafetensors } from '#dist/formats/safetensors-write.js';
import { TorchRng } from '#dist/formats/torch-rng.js';
import { nodeWriter } from '#dist/node/files.js';
import { readArguments, refuse } from '../../../shared/options.mjs';

const SEED = 1851;

/** 918,656 parameters, 786,432 of them in linear layers whose rows are whole quantization blocks of 64. */
const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 0,
  dtype: 'float32',
  eos_token_id: 1,
  head_dim: 32,
  hidden_act: 'silu',
  hidden_size: 128,
  initializer_range: 0.05,
  intermediate_size: 384,
  max_position_embeddings: 512,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 4,
  num_hidden_layers: 4,
  num_key_value_heads: 2,
  pad_token_id: 2,
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_theta: 10000.0, rope_type: 'default' },
  tie_word_embeddings: true,
  use_cache: true,
  vocab_size: 1024,
};

const USAGE = 'usage: node bench/models/tiny/make/init.mjs FOLDER   writes FOLDER/init and the two texts';
const folder = readArguments(USAGE, {}).positionals[0] ?? refuse(`wanted a folder\n${USAGE}`);
const model = join(folder, 'init');
mkdirSync(model, { recursive: true });
writeFileSync(join(model, 'config.json'), `${JSON.stringify(CONFIG, null, 2)}\n`);
for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
  copyFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), join(model, file));
}
await writeSafetensors(nodeWriter(model), 'model.safetensors', initialTensors());
for (const side of /** @type {const} */ (['train', 'eval'])) {
  const chapters = await mobyDickChapters(side);
  writeFileSync(join(folder, `moby-dick-${side}.txt`), chapters.map((text) => `<|bos|>${text}<|eos|>`).join(''));
}

/** Norms start at one; the rest is normal, the last matrix of each residual branch narrower, as in GPT-2. */
function initialTensors() {
  const rng = new TorchRng(SEED);
  const { hidden_size: C, intermediate_size: F, head_dim: D, num_hidden_layers: L, initializer_range: std } = CONFIG;
  const q = CONFIG.num_attention_heads * D;
  const kv = CONFIG.num_key_value_heads * D;
  const ones = (/** @type {string} */ name) => tensor(name, [C], new Float32Array(C).fill(1));
  /** @type {(name: string, shape: readonly number[], sd?: number) => TensorToWrite} */
  const normal = (name, shape, sd = std) => tensor(name, shape, rng.normal(shape[0] * shape[1], sd));
  const branchEnd = std / Math.sqrt(2 * L);
  const layers = Array.from({ length: L }, (_, i) => {
    const at = `model.layers.${i}.`;
    return [
      ones(`${at}input_layernorm.weight`),
      normal(`${at}self_attn.q_proj.weight`, [q, C]),
      normal(`${at}self_attn.k_proj.weight`, [kv, C]),
      normal(`${at}self_attn.v_proj.weight`, [kv, C]),
      normal(`${at}self_attn.o_proj.weight`, [C, q], branchEnd),
      ones(`${at}post_attention_layernorm.weight`),
      normal(`${at}mlp.gate_proj.weight`, [F, C]),
      normal(`${at}mlp.up_proj.weight`, [F, C]),
      normal(`${at}mlp.down_proj.weight`, [C, F], branchEnd),
    ];
  });
  return [normal('model.embed_tokens.weight', [CONFIG.vocab_size, C]), ...layers.flat(), ones('model.norm.weight')];
}

/** @typedef {import('#dist/formats/safetensors-write.js').TensorToWrite} TensorToWrite */

/** @param {string} name @param {readonly number[]} shape @param {Float32Array} values @returns {TensorToWrite} */
function tensor(name, shape, values) {
  return {
    name,
    dtype: 'F32',
    shape,
    data: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  };
}
