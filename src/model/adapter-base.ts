/** A model as adapter files see it. */

import type { AdapterBase } from '../adapters/base.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { EMBEDDING, HEAD, modulesOf } from './modules.ts';

/** PEFT adapts these in most decoders where target_modules is left out; for others it asks. */
const USUAL_TARGETS = ['q_proj', 'v_proj'];
const WITHOUT_DEFAULT: readonly string[] = ['phi3', 'smollm3', 'olmo2'];

/** The modules of a model by checkpoint name, its two embeddings, and what PEFT adapts where nothing is said. */
export function adapterBase(model: ModelConfig): AdapterBase {
  return {
    modules: modulesOf(model),
    inputEmbedding: EMBEDDING,
    outputEmbedding: HEAD,
    tied: model.tie_word_embeddings,
    defaultTargets: WITHOUT_DEFAULT.includes(model.model_type) ? null : USUAL_TARGETS,
  };
}
