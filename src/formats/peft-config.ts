/** adapter_config.json: PEFT's description of a LoRA adapter, read with its defaults and written as it writes it. */
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { Fields } from './fields.ts';
import { type JsonObject, readObject, show } from './json.ts';
import { type FileReader, place } from './reader.ts';

export const ADAPTER_CONFIG_FILE = 'adapter_config.json';

/** Fields keep PEFT's names. `unknown` holds what nibble has no use for and writes back unchanged. */
export type LoraConfig = {
  readonly base_model_name_or_path: string | null;
  readonly revision: string | null;
  readonly task_type: string | null;
  readonly r: number;
  readonly lora_alpha: number;
  readonly lora_dropout: number;
  readonly use_rslora: boolean;
  readonly init_lora_weights: boolean | 'gaussian';
  /** Names or name endings, one regular expression, or "all-linear"; null for the architecture's default. */
  readonly target_modules: readonly string[] | string | null;
  readonly exclude_modules: readonly string[] | string | null;
  readonly layers_to_transform: readonly number[] | number | null;
  readonly layers_pattern: readonly string[] | string | null;
  /** Rank and alpha of modules whose name ends in a match of the key; the first matching key counts. */
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
  readonly unknown: JsonObject;
};

/** What PEFT assumes where adapter_config.json is silent. */
export const LORA_DEFAULTS: LoraConfig = {
  base_model_name_or_path: null,
  revision: null,
  task_type: null,
  r: 8,
  lora_alpha: 8,
  lora_dropout: 0,
  use_rslora: false,
  init_lora_weights: true,
  target_modules: null,
  exclude_modules: null,
  layers_to_transform: null,
  layers_pattern: null,
  rank_pattern: {},
  alpha_pattern: {},
  unknown: {},
};

/** Long-standing keys whose value is fixed for everything nibble can train; others are refused when set otherwise. */
const FIXED: JsonObject = {
  auto_mapping: null,
  bias: 'none',
  fan_in_fan_out: false,
  inference_mode: true,
  layer_replication: null,
  loftq_config: {},
  lora_bias: false,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  peft_type: 'LORA',
  use_dora: false,
};

/** Keys that change what an adapter computes, and that nibble does not do yet; falsy, or absent, or refused. */
const NOT_YET = [
  'use_dora',
  'modules_to_save',
  'lora_bias',
  'fan_in_fan_out',
  'layer_replication',
  'megatron_config',
  'target_parameters',
  'trainable_token_indices',
  'alora_invocation_tokens',
  'use_qalora',
  'use_bdlora',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'velora_config',
];

/** Reads adapter_config.json. DataError: absent or not JSON. ConfigError: every setting nibble cannot follow. */
export async function readLoraConfig(reader: FileReader): Promise<LoraConfig> {
  return parseLoraConfig(await readObject(reader, ADAPTER_CONFIG_FILE), place(reader, ADAPTER_CONFIG_FILE));
}

/** Checks a parsed adapter_config.json; `file` is what the problems name. */
export function parseLoraConfig(json: JsonObject, file = ADAPTER_CONFIG_FILE): LoraConfig {
  const problems: ConfigProblem[] = [];
  const fields = new Fields(json, file, problems);
  checkMethod(json, fields);
  const known = new Set([...Object.keys(LORA_DEFAULTS), ...Object.keys(FIXED)]);
  const config: LoraConfig = {
    base_model_name_or_path: fields.textOrNull('base_model_name_or_path'),
    revision: fields.textOrNull('revision'),
    task_type: fields.textOrNull('task_type'),
    r: fields.count('r', LORA_DEFAULTS.r),
    lora_alpha: fields.positive('lora_alpha', LORA_DEFAULTS.lora_alpha),
    lora_dropout: fields.fraction('lora_dropout', LORA_DEFAULTS.lora_dropout),
    use_rslora: fields.flag('use_rslora', false),
    init_lora_weights: initialisation(json, fields),
    target_modules: fields.names('target_modules'),
    exclude_modules: fields.names('exclude_modules'),
    layers_to_transform: layers(json, fields),
    layers_pattern: fields.names('layers_pattern'),
    rank_pattern: pattern('rank_pattern', fields, (rank) => Number.isSafeInteger(rank)),
    alpha_pattern: pattern('alpha_pattern', fields, Number.isFinite),
    unknown: Object.fromEntries(Object.entries(json).filter(([key]) => !known.has(key))),
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** The JSON that PEFT reads back: its long-standing keys and the unknown ones, alphabetical, indented by 2. */
export function formatLoraConfig(config: LoraConfig): string {
  const { unknown, ...known } = config;
  const entries = Object.entries({ ...unknown, ...FIXED, ...known });
  return JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))), null, 2);
}

function checkMethod(json: JsonObject, fields: Fields): void {
  if (json.peft_type !== 'LORA') {
    fields.report('peft_type', `is ${show(json.peft_type ?? null)}; supported is "LORA".`);
  }
  if ((json.bias ?? 'none') !== 'none')
    fields.report('bias', `is ${show(json.bias)}; only "none" is supported so far.`);
  for (const key of NOT_YET) {
    const value = json[key] ?? false;
    const empty = value === false || (Array.isArray(value) && value.length === 0);
    if (!empty) fields.report(key, `is ${show(value)}; nibble does not support it yet. Leave it out.`);
  }
}

/** Other initialisations also change the base weights, which an adapter file does not hold. */
function initialisation(json: JsonObject, fields: Fields): boolean | 'gaussian' {
  const value = json.init_lora_weights ?? true;
  if (typeof value === 'boolean' || value === 'gaussian') return value;
  fields.report('init_lora_weights', `is ${show(value)}; supported are true, false and "gaussian".`);
  return true;
}

function layers(json: JsonObject, fields: Fields): readonly number[] | number | null {
  const value = json.layers_to_transform ?? null;
  const isLayer = (entry: unknown): entry is number => Number.isSafeInteger(entry) && (entry as number) >= 0;
  if (value === null || isLayer(value)) return value;
  if (Array.isArray(value) && value.every(isLayer)) return value;
  fields.report('layers_to_transform', `is ${show(value)}, needs a layer index, a list of them, or null.`);
  return null;
}

function pattern(key: string, fields: Fields, fits: (value: number) => boolean): Readonly<Record<string, number>> {
  const found = Object.entries(fields.object(key) ?? {});
  for (const [name, value] of found) {
    if (typeof value !== 'number' || !fits(value) || value <= 0) {
      fields.report(`${key}.${name}`, `is ${show(value)}, needs a number above 0.`);
    }
  }
  return Object.fromEntries(found) as Record<string, number>;
}
