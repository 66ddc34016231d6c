/** config.json of a Hugging Face model, checked and completed: what nibble can train, and a reason for what it cannot. */

import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { reportDisagreements } from './config-spellings.ts';
import { isTorchFloat, TORCH_FLOATS, type TorchFloat } from './dtype.ts';
import { Fields } from './fields.ts';
import {
  type Activation,
  ARCHITECTURES,
  type ArchitectureName,
  CONFIG_ROWS,
  type ConfigRow,
  type LayerFields,
} from './hf-architectures.ts';
import { type JsonObject, readObject } from './json.ts';
import { type FileReader, place } from './reader.ts';
import { type RopeParameters, ropeParameters } from './rope-config.ts';

/** Fields keep Hugging Face's names; defaults that config.json leaves out are filled in. */
export type ModelConfig = LayerFields & {
  readonly architecture: ArchitectureName;
  readonly model_type: string;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly hidden_act: Activation;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_parameters: RopeParameters;
  readonly tie_word_embeddings: boolean;
  readonly attention_bias: boolean;
  readonly mlp_bias: boolean;
  readonly initializer_range: number;
  readonly bos_token_id: number | null;
  readonly eos_token_id: readonly number[];
  readonly pad_token_id: number | null;
  /** Type of the unquantized weights, null where config.json does not say. */
  readonly dtype: TorchFloat | null;
  /** Present when the checkpoint itself was quantized; which tensors were, only the checkpoint says. */
  readonly quantization_config: JsonObject | null;
};

export const CONFIG_FILE = 'config.json';
const MOST_LAYERS = 10_000;

/** Reads config.json of a model directory. DataError: absent or not JSON. ConfigError: every field nibble cannot follow. */
export async function readModelConfig(reader: FileReader, notes: string[] = []): Promise<ModelConfig> {
  return parseModelConfig(await readObject(reader, CONFIG_FILE), place(reader, CONFIG_FILE), notes);
}

/**
 * Checks a parsed config.json; `file` is what the problems name.
 * @param notes where what a person should know is added: a field that is taken in another way than it is written
 */
export function parseModelConfig(given: JsonObject, file = CONFIG_FILE, notes: string[] = []): ModelConfig {
  const problems: ConfigProblem[] = [];
  const raw = new Fields(given, file, problems);
  const architecture = checkArchitecture(given, raw, notes);
  reportDisagreements(given, raw);
  if (architecture === undefined) throw new ConfigError(problems); // its fields mean what we do not know
  const row: ConfigRow = CONFIG_ROWS[architecture];
  const json = { ...row.defaults, ...withoutUnset(given, notes) };
  const fields = new Fields(json, file, problems);
  const hidden_size = fields.count('hidden_size');
  const num_attention_heads = fields.count('num_attention_heads');
  const num_hidden_layers = layerCount(fields);
  const config: ModelConfig = {
    architecture,
    model_type: row.model_type,
    vocab_size: fields.count('vocab_size'),
    hidden_size,
    intermediate_size: fields.count('intermediate_size'),
    num_hidden_layers,
    num_attention_heads,
    num_key_value_heads: fields.count('num_key_value_heads', num_attention_heads),
    head_dim: fields.count('head_dim', hidden_size / num_attention_heads),
    hidden_act: checkActivation(json, row, fields),
    max_position_embeddings: fields.count('max_position_embeddings'),
    rms_norm_eps: fields.positive('rms_norm_eps'),
    rope_parameters: ropeParameters(json, fields, row.ropeTypes),
    tie_word_embeddings: fields.flag('tie_word_embeddings', false),
    ...row.layers(fields, num_hidden_layers),
    attention_bias: 'attention_bias' in row.defaults && fields.flag('attention_bias', false),
    mlp_bias: 'mlp_bias' in row.defaults && fields.flag('mlp_bias', false),
    initializer_range: fields.positive('initializer_range'),
    bos_token_id: fields.token('bos_token_id'),
    eos_token_id: fields.tokens('eos_token_id'),
    pad_token_id: fields.token('pad_token_id'),
    dtype: storedDtype(json, fields),
    quantization_config: fields.object('quantization_config'),
  };
  checkUnsupported(json, row, config, fields);
  if (problems.length === 0) checkDivisible(config, fields);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Limits the layers: lists with an entry for each are made before a config is refused, and a typo must not fill memory. */
function layerCount(fields: Fields): number {
  const count = fields.count('num_hidden_layers');
  if (count <= MOST_LAYERS) return count;
  fields.report('num_hidden_layers', `is ${count}, needs at most ${MOST_LAYERS}.`);
  return 1;
}

/** Finds the architecture by `architectures`; by model_type, as transformers' Auto classes do, where a file has another name of it or none. */
function checkArchitecture(json: JsonObject, fields: Fields, notes: string[]): ArchitectureName | undefined {
  const given = Array.isArray(json.architectures) ? (json.architectures[0] ?? null) : null;
  const type = json.model_type ?? null;
  const named = ARCHITECTURES.find((name) => name === given);
  const typed = ARCHITECTURES.find((name) => CONFIG_ROWS[name].model_type === type);
  if (named !== undefined && type !== null && typed !== named) {
    fields.report('model_type', `is ${show(type)}, and architectures says ${named}. Keep the one that is meant.`);
    return undefined;
  }
  if (typed !== undefined && named === undefined && isNameOf(given, typed)) {
    notes.push(`config.json: architectures is ${show(given)}, read as ${typed} by its model_type ${show(type)}`);
    return typed;
  }
  const known = given === null ? typed : named;
  if (known === undefined) {
    const got = show(given ?? type);
    fields.report(
      'architectures',
      `is ${got}; supported are ${ARCHITECTURES.join(', ')}. Choose a model of one of these.`,
    );
  }
  return known;
}

/** Tells whether a class is the architecture's with another spelling or head: LLaMAForCausalLM, LlamaModel; not Llama4ForCausalLM. */
function isNameOf(given: unknown, known: ArchitectureName): boolean {
  return typeof given === 'string' && new RegExp(`^${CONFIG_ROWS[known].model_type}(?!\\d)`, 'i').test(given);
}

/** What some files write where they have no such token; -1 is no id, and no row of the embedding. */
const NO_TOKEN = -1;

/** Takes -1 for no token, as transformers' models do that never meet it. */
function withoutUnset(json: JsonObject, notes: string[]): JsonObject {
  const unset = ['bos_token_id', 'eos_token_id', 'pad_token_id'].filter((key) => json[key] === NO_TOKEN);
  for (const key of unset) notes.push(`config.json: ${key} is ${NO_TOKEN}, read as none`);
  return { ...json, ...Object.fromEntries(unset.map((key) => [key, null])) };
}

function checkActivation({ hidden_act }: JsonObject, row: ConfigRow, fields: Fields): Activation {
  const found = Object.entries(row.activations).find(([name]) => name === hidden_act)?.[1];
  if (found !== undefined) return found;
  const known = Object.keys(row.activations).join(', ');
  fields.report('hidden_act', `is ${show(hidden_act ?? null)}; supported for ${row.model_type} are ${known}.`);
  return 'silu';
}

/** Reads `dtype`, or `torch_dtype` as transformers wrote it up to version 4. */
function storedDtype(json: JsonObject, fields: Fields): TorchFloat | null {
  const key = json.dtype === undefined || json.dtype === null ? 'torch_dtype' : 'dtype';
  const got = json[key] ?? null;
  if (got === null || isTorchFloat(got)) return got;
  fields.report(key, `is ${show(got)}; supported are ${TORCH_FLOATS.join(', ')}. Save the model in one of them.`);
  return null;
}

function checkUnsupported(json: JsonObject, row: ConfigRow, config: ModelConfig, fields: Fields): void {
  for (const [key, only] of Object.entries({ attention_dropout: 0, ...row.only })) {
    const got = json[key] ?? only;
    if (got !== only) fields.report(key, `is ${show(got)}; only ${show(only)} is supported. Set it to that.`);
  }
  const method = config.quantization_config?.quant_method;
  if (config.quantization_config !== null && (method !== 'bitsandbytes' || isInt8(config.quantization_config))) {
    const got = method === 'bitsandbytes' ? 'bitsandbytes 8-bit' : show(method ?? null);
    fields.report(
      'quantization_config',
      `asks for ${got}; supported is bitsandbytes 4-bit (quant_method "bitsandbytes", load_in_4bit true). Use the unquantized model.`,
    );
  }
}

function isInt8(quantization: JsonObject): boolean {
  return quantization.load_in_8bit === true || quantization._load_in_8bit === true;
}

function checkDivisible(config: ModelConfig, fields: Fields): void {
  const { head_dim, num_attention_heads, num_key_value_heads, vocab_size } = config;
  if (!Number.isInteger(head_dim)) {
    fields.report(
      'hidden_size',
      `is ${config.hidden_size}, not a multiple of num_attention_heads ${num_attention_heads}, and head_dim is not given.`,
    );
  } else if (head_dim % 2 !== 0) {
    fields.report('head_dim', `is ${head_dim}; rotary embeddings need an even one.`);
  }
  if (num_attention_heads % num_key_value_heads !== 0) {
    fields.report(
      'num_attention_heads',
      `is ${num_attention_heads}, not a multiple of num_key_value_heads ${num_key_value_heads}.`,
    );
  }
  for (const [key, id] of [
    ['bos_token_id', config.bos_token_id],
    ['pad_token_id', config.pad_token_id],
  ] as const) {
    if (id !== null && id >= vocab_size) fields.report(key, `is ${id}, needs less than vocab_size ${vocab_size}.`);
  }
  for (const id of config.eos_token_id) {
    if (id >= vocab_size) fields.report('eos_token_id', `is ${id}, needs less than vocab_size ${vocab_size}.`);
  }
}
