/** Describes a model to the adapters room. */
import type { AdapterBase } from '../adapters/base.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { EMBEDDING, HEAD, modulesOf } from './modules.ts';

/** Targets of PEFT in most decoders where target_modules is left out; for the others it requires target_modules. */
const USUAL_TARGETS = ['q_proj', 'v_proj'];
const WITHOUT_DEFAULT: readonly string[] = ['phi3', 'smollm3', 'olmo2'];

/** Lists a model's modules by checkpoint name, its two embeddings, and the targets that PEFT takes where none are given. */
export function adapterBase(model: ModelConfig): AdapterBase {
  return {
    modules: modulesOf(model),
    inputEmbedding: EMBEDDING,
    outputEmbedding: HEAD,
    tied: model.tie_word_embeddings,
    defaultTargets: WITHOUT_DEFAULT.includes(model.model_type) ? null : USUAL_TARGETS,
  };
}
