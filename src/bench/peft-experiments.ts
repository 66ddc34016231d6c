/** The experiments of PEFT's method comparison, METHOD/NAME/adapter_config.json and training_params.json, as a suite. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { ADAPTER_CONFIG_FILE, parseLoraConfig } from '../adapters/config.ts';
import type { SourceFile } from '../config/index.ts';
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem, DataError } from '../errors.ts';
import { type JsonObject, parseObject } from '../formats/json.ts';
import { nodeReader } from '../node/files.ts';

const PARAMS_FILE = 'training_params.json';
const DEFAULTS_FILE = 'default_training_params.json';

type Settings = Record<string, unknown>;
type Experiment = { readonly name: string; readonly seed: number; readonly settings: Settings };

/** Training parameters with PEFT's defaults; unknown ones are refused. The last group is not followed, and is told where set. */
const paramsShape = z.strictObject({
  model_id: z.string().default('meta-llama/Llama-3.2-3B'),
  dtype: z.enum(['float32', 'float16', 'bfloat16', 'int4']).default('bfloat16'),
  max_seq_length: z.int().min(1).default(768),
  batch_size: z.int().min(1).default(4),
  batch_size_eval: z.int().min(1).default(50),
  max_steps: z.int().min(1).default(5000),
  use_gc: z.boolean().default(false),
  seed: z.int().min(0).default(0),
  grad_norm_clip: z.number().default(1),
  optimizer_type: z.literal('AdamW').default('AdamW'),
  optimizer_kwargs: z
    .strictObject({ lr: z.number().default(1e-4), weight_decay: z.number().default(0.1) })
    .default({ lr: 1e-4, weight_decay: 0.1 }),
  lr_scheduler: z.literal('cosine').nullable().default('cosine'),
  eval_steps: z.unknown().optional(),
  compile: z.unknown().optional(),
  query_template: z.unknown().optional(),
  use_amp: z.unknown().optional(),
  autocast_adapter_dtype: z.unknown().optional(),
  generation_kwargs: z.unknown().optional(),
  attn_implementation: z.unknown().optional(),
  init_kv_cache_prefix: z.unknown().optional(),
});
const NOT_FOLLOWED = [
  ...(['eval_steps', 'compile', 'query_template', 'use_amp', 'autocast_adapter_dtype'] as const),
  ...(['generation_kwargs', 'attn_implementation', 'init_kv_cache_prefix'] as const),
];
/** PEFT's cosine schedule warms up over a tenth of the steps, which no parameter says. */
const WARMUP = 0.1;

/** Whether a path is a folder of experiments rather than a suite file. */
export async function isFolder(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null))?.isDirectory() === true;
}

/**
 * Reads a folder of experiments as the text of a suite: an arm for each, in an open division, what all share in its base.
 * @param note called with what is left out or not followed
 * @throws ConfigError with every parameter that cannot be followed; DataError for a folder without experiments
 */
export async function readExperiments(folder: string, note: (text: string) => void): Promise<SourceFile> {
  const problems: ConfigProblem[] = [];
  const defaults =
    (await objectIn(folder, DEFAULTS_FILE)) ?? (await objectIn(path.dirname(path.resolve(folder)), DEFAULTS_FILE));
  const found: Experiment[] = [];
  const told = new Set<string>();
  for (const method of await foldersIn(folder))
    for (const name of await foldersIn(path.join(folder, method))) {
      const at = path.join(folder, method, name);
      const config = await objectIn(at, ADAPTER_CONFIG_FILE);
      const type = config?.peft_type ?? 'LORA';
      if (config !== null && type !== 'LORA') {
        note(`${method}/${name} is left out: its peft_type is ${show(type)}, and nibble trains LORA`);
        continue;
      }
      const params = { ...defaults, ...((await objectIn(at, PARAMS_FILE)) ?? {}) };
      for (const key of NOT_FOLLOWED) if (params[key] !== undefined) told.add(key);
      const experiment = experimentOf(`${method}--${name}`, at, config, params, problems);
      if (experiment !== null) found.push(experiment);
    }
  if (problems.length > 0) throw new ConfigError(problems);
  if (found.length === 0)
    throw new DataError(
      folder,
      `holds no METHOD/NAME/${ADAPTER_CONFIG_FILE}, as PEFT's method_comparison has them. Give a suite file, or such a folder.`,
    );
  if (told.size > 0)
    note(`not followed: ${[...told].join(', ')}; datasets are given as settings: --datasets, --eval_datasets`);
  return { path: folder, text: stringify(suiteOf(path.basename(path.resolve(folder)), found)) };
}

function experimentOf(
  name: string,
  at: string,
  config: JsonObject | null,
  given: JsonObject,
  problems: ConfigProblem[],
): Experiment | null {
  const parsed = paramsShape.safeParse(given);
  if (!parsed.success) {
    for (const { path: inner, message } of parsed.error.issues)
      problems.push({ path: [PARAMS_FILE, ...inner].join('.'), message: `${message} (${at})` });
    return null;
  }
  const params = parsed.data;
  const { lr, weight_decay } = params.optimizer_kwargs;
  const isQuantized = params.dtype === 'int4';
  const quantized = { load_in_4bit: true, bnb_4bit_quant_type: 'fp4', bnb_4bit_use_double_quant: false };
  const schedule =
    params.lr_scheduler === null
      ? { lr_scheduler_type: 'constant' }
      : { lr_scheduler_type: 'cosine', warmup_ratio: WARMUP };
  const settings: Settings = {
    model_name_or_path: params.model_id,
    method: config === null ? 'full' : isQuantized ? 'qlora' : 'lora',
    // what transformers makes of load_in_4bit alone
    ...(isQuantized ? { ...quantized, compute_dtype: 'float32' } : { dtype: params.dtype }),
    max_length: params.max_seq_length,
    per_device_train_batch_size: params.batch_size,
    per_device_eval_batch_size: params.batch_size_eval,
    max_steps: params.max_steps,
    gradient_checkpointing: params.use_gc,
    max_grad_norm: params.grad_norm_clip,
    learning_rate: lr,
    weight_decay,
    ...schedule,
    ...(config === null ? {} : loraSettings(config, path.join(at, ADAPTER_CONFIG_FILE))),
  };
  return { name, seed: params.seed, settings };
}

function loraSettings(config: JsonObject, file: string): Settings {
  const lora = parseLoraConfig(config, file);
  const all: Settings = {
    lora_r: lora.r,
    lora_alpha: lora.lora_alpha,
    lora_dropout: lora.lora_dropout,
    lora_target_modules: lora.target_modules,
    exclude_modules: lora.exclude_modules,
    layers_to_transform: lora.layers_to_transform,
    layers_pattern: lora.layers_pattern,
    rank_pattern: lora.rank_pattern,
    alpha_pattern: lora.alpha_pattern,
    use_rslora: lora.use_rslora,
    use_dora: lora.use_dora,
    bias: lora.bias,
    init_lora_weights: lora.init_lora_weights,
    lora_modules_to_save: lora.modules_to_save,
    ensure_weight_tying: lora.ensure_weight_tying,
  };
  const isEmpty = (value: unknown): boolean =>
    value === null || (typeof value === 'object' && Object.keys(value as object).length === 0);
  return Object.fromEntries(Object.entries(all).filter(([, value]) => !isEmpty(value)));
}

/** What all experiments share stands in the base, so that a flag can replace it. */
function suiteOf(name: string, experiments: readonly Experiment[]): object {
  const [first] = experiments as [Experiment];
  const same = (key: string, value: unknown): boolean =>
    experiments.every(({ settings }) => show(settings[key]) === show(value));
  const base = Object.fromEntries(Object.entries(first.settings).filter(([key, value]) => same(key, value)));
  const rest = ({ settings }: Experiment) =>
    Object.fromEntries(Object.entries(settings).filter(([key]) => !Object.hasOwn(base, key)));
  return {
    suite: name.replaceAll(/[^\w.-]+/g, '-'),
    description: `Experiments of PEFT's method comparison: ${name}`,
    seeds: [...new Set(experiments.map(({ seed }) => seed))],
    division: 'open',
    base,
    arms: Object.fromEntries(experiments.map((experiment) => [experiment.name, rest(experiment)])),
  };
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

async function objectIn(folder: string, file: string): Promise<JsonObject | null> {
  const reader = nodeReader(folder);
  return (await reader.exists(file)) ? parseObject(await reader.readText(file), path.join(folder, file)) : null;
}
