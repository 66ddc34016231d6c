/** generation_config.json: how a model wants to be sampled from, as transformers reads it. */

import { LEAST_PENALTY, MOST_PENALTY } from '../config/generate.ts';
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { Fields } from '../formats/fields.ts';
import { type JsonObject, readObject } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';

export const GENERATION_CONFIG_FILE = 'generation_config.json';

/** Fields keep transformers' names; null where the file is silent. */
export type GenerationDefaults = {
  readonly do_sample: boolean | null;
  readonly temperature: number | null;
  readonly top_k: number | null;
  readonly top_p: number | null;
  readonly min_p: number | null;
  readonly repetition_penalty: number | null;
  readonly max_new_tokens: number | null;
  /** Limit of prompt and generated tokens together. */
  readonly max_length: number | null;
  readonly min_new_tokens: number | null;
  readonly eos_token_id: readonly number[] | null;
};

const FOLLOWED = [
  'do_sample',
  'temperature',
  'top_k',
  'top_p',
  'min_p',
  'repetition_penalty',
  'max_new_tokens',
  'max_length',
  'min_new_tokens',
  'eos_token_id',
];

/**
 * Values at which a key changes no token here; what else it may hold is named in a note. `undefined` takes any: these change what
 * transformers returns beside the tokens, how it works, or only searches that are refused by the note on num_beams.
 */
const WITHOUT_EFFECT: Readonly<Record<string, unknown>> = {
  _from_model_config: undefined,
  transformers_version: undefined,
  bos_token_id: undefined,
  pad_token_id: undefined,
  decoder_start_token_id: undefined,
  use_cache: undefined,
  cache_implementation: undefined,
  cache_config: undefined,
  early_stopping: undefined,
  length_penalty: undefined,
  num_beam_groups: undefined,
  diversity_penalty: undefined,
  num_return_sequences: undefined,
  output_attentions: undefined,
  output_hidden_states: undefined,
  output_scores: undefined,
  output_logits: undefined,
  return_dict_in_generate: undefined,
  renormalize_logits: undefined,
  remove_invalid_values: undefined,
  num_assistant_tokens: undefined,
  num_assistant_tokens_schedule: undefined,
  assistant_confidence_threshold: undefined,
  assistant_lookbehind: undefined,
  target_lookbehind: undefined,
  prompt_lookup_num_tokens: undefined,
  num_beams: 1,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  no_repeat_ngram_size: 0,
  // transformers takes the prompt for what an encoder read, where there is none
  encoder_no_repeat_ngram_size: 0,
  encoder_repetition_penalty: 1,
  min_length: 0,
};

const NONE: GenerationDefaults = {
  do_sample: null,
  temperature: null,
  top_k: null,
  top_p: null,
  min_p: null,
  repetition_penalty: null,
  max_new_tokens: null,
  max_length: null,
  min_new_tokens: null,
  eos_token_id: null,
};

/**
 * Reads the file where there is one. @param notes is told of each key that would change the tokens and is not followed
 * @throws ConfigError with every value that cannot be meant; DataError where it is not JSON
 */
export async function readGenerationConfig(reader: FileReader, notes: string[] = []): Promise<GenerationDefaults> {
  if (!(await reader.exists(GENERATION_CONFIG_FILE))) return NONE;
  const json = await readObject(reader, GENERATION_CONFIG_FILE);
  return parseGenerationConfig(json, place(reader, GENERATION_CONFIG_FILE), notes);
}

/** Checks a parsed generation_config.json; `file` is what problems and notes name. */
export function parseGenerationConfig(
  json: JsonObject,
  file = GENERATION_CONFIG_FILE,
  notes: string[] = [],
): GenerationDefaults {
  const problems: ConfigProblem[] = [];
  const fields = new Fields(json, file, problems);
  const number = (key: string, wanted: string, fits: (value: number) => boolean): number | null => {
    const value = json[key] ?? null;
    if (value === null || (typeof value === 'number' && fits(value))) return value as number | null;
    fields.report(key, `is ${show(value)}, needs ${wanted}.`);
    return null;
  };
  const share = 'a number from 0 to 1';
  const isShare = (value: number): boolean => value >= 0 && value <= 1;
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  const eos = fields.tokens('eos_token_id');
  const defaults: GenerationDefaults = {
    do_sample: (json.do_sample ?? null) === null ? null : fields.flag('do_sample', false),
    temperature: number('temperature', 'a number of at least 0', (value) => value >= 0 && Number.isFinite(value)),
    top_k: number('top_k', 'a whole number of at least 0', isCount),
    top_p: number('top_p', share, isShare),
    min_p: number('min_p', share, isShare),
    repetition_penalty: number(
      'repetition_penalty',
      `a number from ${LEAST_PENALTY} to ${MOST_PENALTY}`,
      (value) => value >= LEAST_PENALTY && value <= MOST_PENALTY,
    ),
    max_new_tokens: number('max_new_tokens', 'a whole number of at least 0', isCount),
    max_length: number('max_length', 'a whole number of at least 0', isCount),
    min_new_tokens: number('min_new_tokens', 'a whole number of at least 0', isCount),
    eos_token_id: eos.length === 0 ? null : eos,
  };
  if (problems.length > 0) throw new ConfigError(problems);
  for (const key of Object.keys(json)) if (!isFollowed(key, json[key])) notes.push(noteOf(file, key, json[key]));
  return defaults;
}

function isFollowed(key: string, value: unknown): boolean {
  if (FOLLOWED.includes(key) || value === null || value === false) return true;
  if (!Object.hasOwn(WITHOUT_EFFECT, key)) return Array.isArray(value) && value.length === 0;
  const harmless = WITHOUT_EFFECT[key];
  return harmless === undefined || harmless === value;
}

function noteOf(file: string, key: string, value: unknown): string {
  return `${file}: ${key} is ${show(value)}, which is not followed: transformers may generate other tokens with it`;
}
