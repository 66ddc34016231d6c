/** The models and settings of the memory curves, for the plan and for the run of one point alike. */
import { loadTrainConfig } from '#dist/config/index.js';

/** @typedef {'lora' | 'qlora'} Method */
/** @typedef {'false' | 'selective' | 'true'} Checkpointing */
/** @typedef {Readonly<Record<string, unknown>>} Shape entries of config.json */

export const METHODS = { lora: 'LoRA', qlora: 'QLoRA' };
export const CHECKPOINTING = { false: 'off', selective: 'selective', true: 'full' };

/**
 * @param {Shape} shape
 * @param {number} positions
 * @param {string} dtype
 * @returns config.json of a Llama of that shape with room for so many positions
 */
export function modelJson(shape, positions, dtype) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    ...shape,
    max_position_embeddings: positions,
    dtype,
  };
}

/** Small enough to run on a software driver. */
export const SMALL = {
  vocab_size: 1024,
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  tie_word_embeddings: true,
};

/** All of it loss: one narrow layer under a wide head. */
export const NARROW = {
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  tie_word_embeddings: true,
};

/**
 * @typedef {object} Point
 * @property {string} method
 * @property {string} checkpointing
 * @property {number} S tokens of the one row of a step
 * @property {string} dtype that it computes in
 * @property {string} [rows] the dataset
 * @property {string} [model] its folder
 */

/** Settings of one row of S tokens a step, adapters on every linear layer. @param {Point} point */
export function settings({ method, checkpointing, S, dtype, rows = 'rows.jsonl', model = 'model' }) {
  const { values } = loadTrainConfig({
    flags: {
      model_name_or_path: model,
      datasets: JSON.stringify([{ path: rows }]),
      method,
      gradient_checkpointing: checkpointing,
      max_length: String(S),
      max_steps: '1',
      lora_target_modules: 'all-linear',
      per_device_train_batch_size: '1',
      compute_dtype: dtype,
      ...(method === 'qlora' ? { bnb_4bit_use_double_quant: 'true' } : {}),
    },
  });
  return values;
}
