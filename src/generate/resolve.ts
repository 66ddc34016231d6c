/** What a request does, from the caller's settings, the model's generation_config.json and its config.json, in this order. */
import type { GenerateConfig } from '../config/generate.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { GenerationDefaults } from './generation-config.ts';
import type { Sampling } from './sampling.ts';

/** Most new tokens where neither the caller nor the model says: transformers' 20, of prompt and text together, is less than a sentence. */
export const DEFAULT_NEW_TOKENS = 256;
/** What transformers draws among where nobody says (GenerationConfig's defaults). */
const DEFAULT_TOP_K = 50;

/** Whether and how tokens are drawn. */
export function samplingOf(config: GenerateConfig, model: GenerationDefaults): Sampling {
  const asks = [config.temperature, config.top_k, config.top_p, config.min_p].some((value) => value !== null);
  const wants = config.do_sample ?? (asks || (model.do_sample ?? false));
  const temperature = config.temperature ?? model.temperature ?? 1;
  return {
    doSample: wants && temperature > 0,
    temperature,
    topK: config.top_k ?? model.top_k ?? DEFAULT_TOP_K,
    topP: config.top_p ?? model.top_p ?? 1,
    minP: config.min_p ?? model.min_p ?? 0,
    repetitionPenalty: config.repetition_penalty ?? model.repetition_penalty ?? 1,
  };
}

/** Tokens that end a text: generation_config.json's, else config.json's; none where they are ignored. */
export function endsOf(
  { ignore_eos }: Pick<GenerateConfig, 'ignore_eos'>,
  defaults: GenerationDefaults,
  model: Pick<ModelConfig, 'eos_token_id'>,
): readonly number[] {
  return ignore_eos ? [] : (defaults.eos_token_id ?? model.eos_token_id);
}

/** Characters that a token of a long text has at most on average; far more than people write. */
const CHARACTERS_PER_TOKEN = 16;

/** Characters beyond which no text fits a context: it need not be cut into tokens, which can take minutes. */
export const mostCharacters = (context: number): number => CHARACTERS_PER_TOKEN * context;

/** Most new tokens of a request of `prompt` tokens, within the context. */
export function newTokensOf(
  { max_new_tokens }: Pick<GenerateConfig, 'max_new_tokens'>,
  defaults: GenerationDefaults,
  { max_position_embeddings: context }: Pick<ModelConfig, 'max_position_embeddings'>,
  prompt: number,
): number {
  const ofLength = defaults.max_length === null ? null : Math.max(1, defaults.max_length - prompt);
  const most = max_new_tokens ?? defaults.max_new_tokens ?? ofLength ?? DEFAULT_NEW_TOKENS;
  return Math.max(1, Math.min(most, context - prompt));
}
