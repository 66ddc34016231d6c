/** The models whose steps are planned: the published shapes that nibble knows, and one for the widest head. */
import { ConfigError, REFERENCE_MODELS, referenceConfig } from './from-nibble.mjs';

/** No model: two small layers with the head dim of Gemma's, for the attention kernels at 256. */
const WIDE_HEADS = 'Head-Dim-256';
const WIDE_HEADS_CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 32_000,
  hidden_size: 1024,
  intermediate_size: 2816,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  head_dim: 256,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  dtype: 'float16',
};

/** @type {readonly string[]} */
export const MODEL_NAMES = [...Object.keys(REFERENCE_MODELS), WIDE_HEADS];

/**
 * A model's name as it is written, whatever the case it was given in.
 * @param {string} asked
 * @throws ConfigError for one that is not known
 */
export function modelName(asked) {
  const name = MODEL_NAMES.find((known) => known.toLowerCase() === asked.toLowerCase());
  if (name !== undefined) return name;
  throw new ConfigError([
    { path: '--models', message: `${asked} is not known: give one of ${MODEL_NAMES.join(', ')}` },
  ]);
}

/** The model's config.json. @param {string} name */
export const modelConfig = (name) => (name === WIDE_HEADS ? WIDE_HEADS_CONFIG : referenceConfig(name));
