/** adapter_config.json: PEFT's description of a LoRA adapter, read with its defaults and written as it writes it. */

import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { Fields } from '../formats/fields.ts';
import { formatSpelled, isObject, type JsonObject, parseObject, parseSpelled } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';

export const ADAPTER_CONFIG_FILE = 'adapter_config.json';

const BIASES = ['none', 'all', 'lora_only'] as const;
export type Bias = (typeof BIASES)[number];

/** Token ids, or a list of them for each module. */
export type TokenIndices = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** Fields keep PEFT's names. `unknown` holds keys that nibble has no use for and writes back as it read them. */
export type LoraConfig = {
  readonly base_model_name_or_path: string | null;
  readonly revision: string | null;
  readonly task_type: string | null;
  readonly r: number;
  readonly lora_alpha: number;
  readonly lora_dropout: number;
  readonly use_rslora: boolean;
  readonly use_dora: boolean;
  /** Biases of the base that are trained: none, all there are, or those of the adapted layers. */
  readonly bias: Bias;
  /** lora_B has a bias too, which is scaled as its product is. */
  readonly lora_bias: boolean;
  /** How the first values were drawn: history once an adapter is saved. `initialisation` refuses what still matters then. */
  readonly init_lora_weights: boolean | 'gaussian' | 'eva' | 'orthogonal' | `pissa_niter_${number}`;
  /** Names or name endings, one regular expression, or "all-linear"; null for the architecture's default. */
  readonly target_modules: readonly string[] | string | null;
  readonly exclude_modules: readonly string[] | string | null;
  /** Modules trained and saved whole: every one whose name, or that of a module around it, ends in one of these. */
  readonly modules_to_save: readonly string[] | null;
  /** Rows of embeddings that are trained: of the input embedding, or by the ends of modules' names. */
  readonly trainable_token_indices: TokenIndices | null;
  /** An embedding that is trained or adapted stays the output embedding's too, where the base ties them. */
  readonly ensure_weight_tying: boolean;
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
  use_dora: false,
  bias: 'none',
  lora_bias: false,
  init_lora_weights: true,
  target_modules: null,
  exclude_modules: null,
  modules_to_save: null,
  trainable_token_indices: null,
  ensure_weight_tying: false,
  layers_to_transform: null,
  layers_pattern: null,
  rank_pattern: {},
  alpha_pattern: {},
  unknown: {},
};

/** Long-standing keys that nibble has no use for, with the values that it writes where an adapter has none. */
const ABSENT: JsonObject = {
  auto_mapping: null,
  fan_in_fan_out: false,
  layer_replication: null,
  loftq_config: {},
  megatron_config: null,
  megatron_core: 'megatron.core',
};

/** What PEFT writes into the config of every adapter it saves. */
const ALWAYS: JsonObject = { inference_mode: true, peft_type: 'LORA' };

/** Newer keys, about which an older PEFT would warn: left out where they are false, unless the file had them. */
const WRITTEN_WHEN_SET: readonly string[] = ['ensure_weight_tying', 'trainable_token_indices'];

/** Keys that change what an adapter computes and are not supported yet: refused unless absent, false, null or empty. */
const NOT_YET = [
  'fan_in_fan_out',
  'layer_replication',
  'megatron_config',
  'target_parameters',
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
  const text = await reader.readText(ADAPTER_CONFIG_FILE);
  const file = place(reader, ADAPTER_CONFIG_FILE);
  const config = parseLoraConfig(parseObject(text, file), file);
  return { ...config, unknown: unknownOf(parseSpelled(text) as JsonObject) };
}

/** Checks a parsed adapter_config.json; `file` is what the problems name. */
export function parseLoraConfig(json: JsonObject, file = ADAPTER_CONFIG_FILE): LoraConfig {
  const problems: ConfigProblem[] = [];
  const fields = new Fields(json, file, problems);
  checkMethod(json, fields);
  const config: LoraConfig = {
    base_model_name_or_path: fields.textOrNull('base_model_name_or_path'),
    revision: fields.textOrNull('revision'),
    task_type: fields.textOrNull('task_type'),
    r: fields.count('r', LORA_DEFAULTS.r),
    lora_alpha: fields.positive('lora_alpha', LORA_DEFAULTS.lora_alpha),
    lora_dropout: fields.fraction('lora_dropout', LORA_DEFAULTS.lora_dropout),
    use_rslora: fields.flag('use_rslora', false),
    use_dora: fields.flag('use_dora', false),
    bias: bias(json, fields),
    lora_bias: fields.flag('lora_bias', false),
    init_lora_weights: initialisation(json, fields),
    target_modules: fields.names('target_modules'),
    exclude_modules: fields.names('exclude_modules'),
    modules_to_save: list(fields.names('modules_to_save')),
    trainable_token_indices: tokenIndices(json, fields),
    ensure_weight_tying: fields.flag('ensure_weight_tying', false),
    layers_to_transform: layers(json, fields),
    layers_pattern: fields.names('layers_pattern'),
    rank_pattern: pattern('rank_pattern', fields, (rank) => Number.isSafeInteger(rank)),
    alpha_pattern: pattern('alpha_pattern', fields, isFloat32),
    unknown: unknownOf(json),
  };
  for (const { path, message } of contradictions(config)) problems.push({ path: `${file}: ${path}`, message });
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Finds settings that PEFT does not take together; problems go by PEFT's names. */
export function contradictions(
  config: Pick<LoraConfig, 'target_modules' | 'layers_to_transform' | 'layers_pattern'>,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { target_modules: targets, layers_to_transform: layers, layers_pattern: pattern } = config;
  if (typeof targets === 'string' && layers !== null) {
    const message = `needs target_modules to be a list; it is ${show(targets)}, which says the layers itself. Leave it out.`;
    problems.push({ path: 'layers_to_transform', message });
  }
  if (pattern !== null && pattern.length > 0 && layers === null)
    problems.push({
      path: 'layers_pattern',
      message: 'only means something beside layers_to_transform. Leave it out.',
    });
  return problems;
}

/** Collects keys nibble has no use for, and flags that are written only when set, so that an explicit false stays. */
function unknownOf(json: JsonObject): JsonObject {
  const known = new Set([...Object.keys(LORA_DEFAULTS), ...Object.keys(ALWAYS)]);
  for (const key of WRITTEN_WHEN_SET) known.delete(key);
  return Object.fromEntries(Object.entries(json).filter(([key]) => !known.has(key)));
}

/** Formats the JSON that PEFT reads back: its long-standing keys and the unknown ones, alphabetical, indented by 2. */
export function formatLoraConfig(config: LoraConfig): string {
  const { unknown, ...known } = config;
  const said = Object.entries(known).filter(([key, value]) => value || !WRITTEN_WHEN_SET.includes(key));
  const entries = Object.entries({ ...ABSENT, ...unknown, ...ALWAYS, ...Object.fromEntries(said) });
  return formatSpelled(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
}

function checkMethod(json: JsonObject, fields: Fields): void {
  if (json.peft_type !== 'LORA') {
    fields.report('peft_type', `is ${show(json.peft_type ?? null)}; supported is "LORA".`);
  }
  for (const key of NOT_YET) {
    const value = json[key] ?? false;
    const empty = value === false || (Array.isArray(value) && value.length === 0);
    if (!empty) fields.report(key, `is ${show(value)}; nibble does not support it yet. Leave it out.`);
  }
}

function bias(json: JsonObject, fields: Fields): Bias {
  const value = json.bias ?? 'none';
  const known = BIASES.find((choice) => choice === value);
  if (known === undefined) fields.report('bias', `is ${show(value)}; supported are "none", "all" and "lora_only".`);
  return known ?? 'none';
}

const isTokenList = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0);

function tokenIndices(json: JsonObject, fields: Fields): TokenIndices | null {
  const value = json.trainable_token_indices ?? null;
  if (value === null || isTokenList(value)) return value;
  if (isObject(value) && Object.values(value).every(isTokenList)) return value as Record<string, readonly number[]>;
  const wanted = 'token ids from 0, a list of them for each module, or null';
  fields.report('trainable_token_indices', `is ${show(value)}, needs a list of ${wanted}.`);
  return null;
}

function list(names: readonly string[] | string | null): readonly string[] | null {
  return typeof names === 'string' ? [names] : names;
}

/** Initialisations that only choose first values: their adapters are plain ones by the time they are saved. */
const PLAIN_INITS = ['gaussian', 'eva', 'orthogonal'] as const;
/** Initialisations that also subtract the first adapter from the base's weights (peft.tuners.lora.layer, *_init). */
const CHANGES_BASE = /^(pissa(_niter_.*)?|olora|corda|lora_ga)$/;

function initialisation(json: JsonObject, fields: Fields): LoraConfig['init_lora_weights'] {
  const value = json.init_lora_weights ?? true;
  const plain = PLAIN_INITS.find((init) => init === value);
  if (typeof value === 'boolean' || plain !== undefined) return plain ?? (value as boolean);
  fields.report('init_lora_weights', `is ${show(value)}${whyNot(value)}`);
  return true;
}

function whyNot(init: unknown): string {
  if (typeof init === 'string' && CHANGES_BASE.test(init))
    return (
      ', which changes the weights of the base too, and an adapter file holds none of those. Save it as a plain one: ' +
      'save_pretrained(dir, path_initial_model_for_weight_conversion=...).'
    );
  if (init === 'loftq')
    return ', which belongs to a base that LoftQ quantized anew, and an adapter file holds none of it; PEFT converts none.';
  if (init === 'mica') return ', which trains lora_A alone; nibble does not support that yet.';
  return `; supported are true, false, ${PLAIN_INITS.map((name) => show(name)).join(', ')}.`;
}

function layers(json: JsonObject, fields: Fields): readonly number[] | number | null {
  const value = json.layers_to_transform ?? null;
  const isLayer = (entry: unknown): entry is number => Number.isSafeInteger(entry) && (entry as number) >= 0;
  if (value === null || isLayer(value)) return value;
  if (Array.isArray(value) && value.every(isLayer)) return value;
  fields.report('layers_to_transform', `is ${show(value)}, needs a layer index, a list of them, or null.`);
  return null;
}

const isFloat32 = (value: number): boolean => Math.fround(value) > 0 && Math.fround(value) < Infinity;

function pattern(key: string, fields: Fields, fits: (value: number) => boolean): Readonly<Record<string, number>> {
  const found = Object.entries(fields.object(key) ?? {});
  for (const [name, value] of found) {
    if (typeof value !== 'number' || !fits(value) || value <= 0) {
      fields.report(`${key}.${name}`, `is ${show(value)}, needs a number above 0.`);
    }
  }
  return Object.fromEntries(found) as Record<string, number>;
}
