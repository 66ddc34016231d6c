/** What a run has to allocate, from its config and the model's description: storage of each weight, adapter targets. */

import type { AdapterBase } from '../adapters/base.ts';
import { LORA_DEFAULTS, type LoraConfig } from '../adapters/config.ts';
import type { Adapter } from '../adapters/files.ts';
import { type AdapterLayout, adapterCounts, adapterLayout } from '../adapters/layout.ts';
import type { AdapterSetting } from '../adapters/match.ts';
import { pissaRounds } from '../adapters/pissa.ts';
import type { TrainConfig } from '../config/settings.ts';
import { ConfigError } from '../errors.ts';
import { isBnb4bit } from '../formats/bnb4bit.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { adapterBase } from '../model/adapter-base.ts';
import { baseStorage, quantizable } from '../model/base-storage.ts';
import type { LoraSpec, ModelSpec, StoredAs } from '../model/declare.ts';
import { allLinears, parameterCount } from '../model/modules.ts';

export type ModelLayout = {
  readonly spec: ModelSpec;
  readonly base: AdapterBase;
  /** Linear layers that a quantized base quantizes. */
  readonly linear: LinearNames;
  /** The adapter's tensors, and the adapter_config.json that describes them; null in full training. */
  readonly lora: { readonly config: LoraConfig; readonly layout: AdapterLayout } | null;
};

type LinearNames = ReadonlySet<string>;

type ModelLayoutInput = {
  readonly config: TrainConfig;
  readonly model: ModelConfig;
  /** The weights; null for an estimate from config.json alone. */
  readonly source: TensorSource | null;
  /** The adapter that training continues with; null for a fresh one. */
  readonly adapter: Adapter | null;
  readonly maxPositions: number;
};

/**
 * Decides how each weight is stored and what the adapter consists of. Allocates nothing and reads no weight.
 * @throws ConfigError when lora_target_modules matches nothing, or when a weight to be trained is held in 4 bits;
 * DataError when a quantized tensor contradicts itself
 */
export async function modelLayout({
  config,
  model,
  source,
  adapter,
  maxPositions,
}: ModelLayoutInput): Promise<ModelLayout> {
  const linear: LinearNames = new Set(allLinears(model).map(({ name }) => name));
  const base = adapterBase(model);
  const full = config.method === 'full';
  if (full && source !== null) requireUnquantized(source, quantizable(model));
  const { storedAs, prequantized } = await baseStorage(config, model, source);
  if (full) return { spec: { config: model, full, storedAs, lora: null, maxPositions }, base, linear, lora: null };
  const lora = adapter === null ? freshAdapter(config, base) : continued(adapter, config);
  requireTrainable(lora.layout, prequantized);
  if (adapter === null) requirePissa(lora, storedAs);
  const spec = { config: model, full, storedAs, lora: loraSpec(lora.config, lora.layout), maxPositions };
  return { spec, base, linear, lora };
}

/** Counts parameters as PEFT does: `all` includes the adapter and the copies that are trained. */
export function countParameters({ spec, lora }: ModelLayout): { readonly trainable: number; readonly all: number } {
  const own = parameterCount(spec.config);
  if (lora === null) return { trainable: own, all: own };
  const { trainable, added } = adapterCounts(lora.layout);
  return { trainable, all: own + added };
}

function loraSpec({ lora_dropout }: LoraConfig, { targets, dora, loraBias, tokens, trained }: AdapterLayout): LoraSpec {
  return {
    modules: new Map(targets.map((t) => [t.name, { r: t.rank, scaling: t.scaling }])),
    dropout: lora_dropout,
    dora,
    bias: loraBias,
    tokens: new Map(tokens.map((entry) => [entry.module, entry])),
    trained: new Set(trained.map(({ name }) => name)),
  };
}

/** Trained weights are f32, so the checkpoint must hold them in 16 or 32 bits. @throws ConfigError */
function requireTrainable({ trained, tokens }: AdapterLayout, prequantized: ReadonlyMap<string, StoredAs>): void {
  const coded = tokens.find(({ module }) => prequantized.has(module));
  if (coded !== undefined)
    throw new ConfigError([
      {
        path: 'trainable_token_indices',
        message: `trains rows of ${coded.module}, which this checkpoint has in 4 bits. Leave it out, or give the unquantized model.`,
      },
    ]);
  const quantized = trained.find(
    ({ name, module }) => name === `${module.name}.weight` && prequantized.has(module.name),
  );
  if (quantized === undefined) return;
  throw new ConfigError([
    {
      path: 'lora_modules_to_save',
      message: `trains ${quantized.module.name}, which this checkpoint has in 4 bits. Leave it out, or give the unquantized model.`,
    },
  ]);
}

/** PiSSA takes its start off weights, which must be whole and linear layers'. @throws ConfigError */
function requirePissa(
  { config: { init_lora_weights: init, use_dora }, layout: { targets } }: { config: LoraConfig; layout: AdapterLayout },
  storedAs: (module: string) => StoredAs,
): void {
  if (pissaRounds(init) === null) return;
  const refuse = (message: string): never => {
    throw new ConfigError([{ path: 'init_lora_weights', message: `${String(init)} ${message}` }]);
  };
  const quantized = targets.find(({ name }) => storedAs(name).kind === '4bit');
  if (quantized !== undefined)
    refuse(
      `takes the adapter's start off the weights, and ${quantized.name} is held in 4 bits: PEFT refuses that, too. ` +
        'Use method: lora, or another start.',
    );
  const embedding = targets.find(({ kind }) => kind === 'embedding');
  if (embedding !== undefined)
    refuse(`starts linear layers alone, and ${embedding.name} is adapted: leave it out of lora_target_modules`);
  if (use_dora)
    refuse('with use_dora is not supported: a plain adapter holds no magnitudes. Leave one of the two out.');
  const small = targets.find(({ rank, in: width, out }) => rank > Math.min(width, out));
  if (small !== undefined)
    refuse(`needs a rank of at most ${Math.min(small.in, small.out)} for ${small.name}, and it has ${small.rank}`);
}

/** Takes dropout from the config, which holds the adapter's own unless it was set: it belongs to the training. */
function continued({ config, layout }: Adapter, { lora_dropout }: TrainConfig) {
  return { config: { ...config, lora_dropout }, layout };
}

/** Settings whose names differ from PEFT's fields. */
const SETTING_NAMES: Partial<Record<AdapterSetting, string>> = {
  r: 'lora_r',
  target_modules: 'lora_target_modules',
  modules_to_save: 'lora_modules_to_save',
};

function freshAdapter(config: TrainConfig, base: AdapterBase) {
  const loraConfig: LoraConfig = {
    ...LORA_DEFAULTS,
    base_model_name_or_path: config.base_on_hub ?? config.model_name_or_path,
    task_type: 'CAUSAL_LM',
    r: config.lora_r,
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout,
    use_rslora: config.use_rslora,
    init_lora_weights: config.init_lora_weights,
    target_modules: config.lora_target_modules,
    exclude_modules: config.exclude_modules,
    modules_to_save: config.lora_modules_to_save,
    rank_pattern: config.rank_pattern,
    alpha_pattern: config.alpha_pattern,
    layers_to_transform: config.layers_to_transform,
    layers_pattern: config.layers_pattern,
    use_dora: config.use_dora,
    lora_bias: config.lora_bias,
    trainable_token_indices: config.trainable_token_indices,
    bias: config.bias,
    ensure_weight_tying: config.ensure_weight_tying,
  };
  const keyOf = (setting: AdapterSetting): string => SETTING_NAMES[setting] ?? setting;
  // an estimate describes an existing adapter by the settings alone: patterns that match nothing are no mistake there
  const strict = config.adapter_name_or_path === null;
  const layout = adapterLayout(loraConfig, base, { keyOf, strict });
  if (layout.targets.length === 0) adapterLayout(loraConfig, base, { keyOf });
  return { config: loraConfig, layout };
}

/** Full training holds every weight in f32, so none may come in 4 bits. @throws ConfigError */
function requireUnquantized(source: TensorSource, modules: readonly string[]): void {
  const quantized = modules.find((module) => isBnb4bit(source, `${module}.weight`));
  if (quantized === undefined) return;
  throw new ConfigError([
    {
      path: 'method',
      message: `full cannot train ${source.root}, whose ${quantized} is quantized to 4 bits: use qlora, or the unquantized model`,
    },
  ]);
}
