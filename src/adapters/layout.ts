/** What an adapter consists of: LoRA pairs on their targets, and parameters of the base that are trained with them. */

import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import { elementCount } from '../formats/dtype.ts';

import { type Module, type Parameter, parametersOfModule } from '../formats/modules.ts';
import { type AdapterBase, lastSegment } from './base.ts';
import type { LoraConfig } from './config.ts';
import { type AdapterSetting, type LoraTarget, type MatchOptions, matchTargets, type TargetFields } from './match.ts';
import { TOKENS, type TrainedTokens, trainedTokens } from './tokens.ts';

export type AdapterFields = TargetFields &
  Pick<LoraConfig, 'bias' | 'use_dora' | 'lora_bias' | 'init_lora_weights' | 'trainable_token_indices'>;

export type AdapterLayout = {
  readonly targets: readonly LoraTarget[];
  readonly dora: boolean;
  /** Whether every pair of a linear layer has a bias on lora_B. */
  readonly loraBias: boolean;
  /** Tokens whose rows are trained in place of the base's. */
  readonly tokens: readonly TrainedTokens[];
  /** Parameters of the base that are trained too, with the names under which PEFT saves them. */
  readonly trained: readonly TrainedParameter[];
};

export type TrainedParameter = Parameter & {
  readonly keys: readonly string[];
  /** PEFT keeps a copy for training (modules_to_save) and counts both; a bias is trained where it stands. */
  readonly isCopy: boolean;
};

/** A tensor of adapter_model.safetensors. */
export type AdapterTensor = {
  /** Its name in the file. */
  readonly key: string;
  /** Its name while it is trained: a module's name and a suffix, or the name of a parameter of the base. */
  readonly name: string;
  readonly shape: readonly number[];
};

/** What PEFT puts in front of a module's name in adapter_model.safetensors. */
export const KEY_PREFIX = 'base_model.model.';

/** The suffixes under which the parts of a target are trained and saved. */
export const LORA_A = 'lora_A.weight';
export const LORA_B = 'lora_B.weight';
export const LORA_B_BIAS = 'lora_B.bias';
export const EMBEDDING_A = 'lora_embedding_A';
export const EMBEDDING_B = 'lora_embedding_B';
export const MAGNITUDE = 'lora_magnitude_vector';

/**
 * Works out what an adapter consists of.
 * @throws ConfigError for combinations that PEFT or nibble does not have and, where `strict`, for entries that match nothing
 */
export function adapterLayout(config: AdapterFields, base: AdapterBase, options: MatchOptions = {}): AdapterLayout {
  const { keyOf = (setting) => setting, strict = true } = options;
  const targets = matchTargets(config, base, options);
  const problems = [
    ...(strict ? withoutEffect(config, base) : []),
    ...savedProblems(config, base, targets),
    ...doraProblems(config, targets),
    ...loraBiasProblems(config, targets),
  ];
  const whole = savedModules(config, base);
  const otherwise = { adapted: namesOf(targets), whole: namesOf(whole) };
  const tokens = trainedTokens(config, base, otherwise, (message) =>
    problems.push(['trainable_token_indices', message]),
  );
  if (problems.length > 0)
    throw new ConfigError(problems.map(([setting, message]) => ({ path: keyOf(setting), message })));
  const saved = whole.flatMap((module) => savedParameters(module, base));
  const names = namesOf(saved);
  const biases = trainedBiases(config, base, targets).filter(({ name }) => !names.has(name));
  return { targets, dora: config.use_dora, loraBias: config.lora_bias, tokens, trained: [...saved, ...biases] };
}

const namesOf = (named: readonly { readonly name: string }[]): ReadonlySet<string> =>
  new Set(named.map(({ name }) => name));

/** Lists every tensor of the file that PEFT would write, targets first, in the order of the modules. */
export function adapterTensors({ targets, dora, loraBias, tokens, trained }: AdapterLayout): AdapterTensor[] {
  const pairs = targets.flatMap(({ name: module, kind, rank, out, in: width }) => {
    const tensor = (suffix: string, shape: readonly number[]): AdapterTensor => {
      return { key: `${KEY_PREFIX}${module}.${suffix}`, name: `${module}.${suffix}`, shape };
    };
    // an embedding's `out` is the number of tokens, its `in` the hidden size
    if (kind === 'embedding') return [tensor(EMBEDDING_A, [rank, out]), tensor(EMBEDDING_B, [width, rank])];
    const pair = [tensor(LORA_A, [rank, width]), tensor(LORA_B, [out, rank])];
    if (loraBias) pair.push(tensor(LORA_B_BIAS, [out]));
    return dora ? [...pair, tensor(MAGNITUDE, [out])] : pair;
  });
  const rows = tokens.map(({ module, shape }): AdapterTensor => {
    const name = `${module}.${TOKENS}`;
    return { key: `${KEY_PREFIX}${name}`, name, shape };
  });
  const beside = trained.flatMap(({ name, shape, keys }) =>
    keys.map((key) => ({ key: `${KEY_PREFIX}${key}`, name, shape })),
  );
  return [...pairs, ...rows, ...beside];
}

/** An embedding's A lies (tokens, r) while it is trained, so that a token's row is read at once, and (r, tokens) in files. */
export const isTransposed = (name: string): boolean => name.endsWith(`.${EMBEDDING_A}`);

/** (rows, columns) -> (columns, rows) */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) out[(i % columns) * rows + Math.floor(i / columns)] = values[i] as number;
  return out;
}

/** Counts the parameters that are trained, and those that PEFT adds to the base model's own. */
export function adapterCounts(layout: AdapterLayout): { readonly trainable: number; readonly added: number } {
  const total = (tensors: readonly { readonly shape: readonly number[] }[]): number =>
    tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const pairs = total(adapterTensors({ ...layout, trained: [] }));
  return {
    trainable: pairs + total(layout.trained),
    added: pairs + total(layout.trained.filter(({ isCopy }) => isCopy)),
  };
}

/** Finds modules_to_save. PEFT compares plain endings, dots or not: "norm" is every norm, and "mlp" all of a layer's mlp. */
function savedModules({ modules_to_save, ensure_weight_tying }: AdapterFields, base: AdapterBase): Module[] {
  const isSaved = ({ name }: Module): boolean => (modules_to_save ?? []).some((entry) => matchesEntry(name, entry));
  const found = base.modules.filter(isSaved);
  if (!ensure_weight_tying || !base.tied) return found;
  // where the ends are tied, the copy of the input embedding stands for both
  const isEnd = ({ name }: Module): boolean => name === base.inputEmbedding || name === base.outputEmbedding;
  const embedding = base.modules.filter(({ name }) => name === base.inputEmbedding && found.some(isEnd));
  return [...embedding, ...found.filter((module) => !isEnd(module))];
}

function matchesEntry(name: string, entry: string): boolean {
  const segments = name.split('.');
  return segments.some((_, i) =>
    segments
      .slice(0, i + 1)
      .join('.')
      .endsWith(entry),
  );
}

function savedParameters(module: Module, base: AdapterBase): TrainedParameter[] {
  return parametersOfModule(module).map((parameter) => {
    const both = base.tied && module.name === base.inputEmbedding;
    return {
      ...parameter,
      keys: both ? [parameter.name, `${base.outputEmbedding}.weight`] : [parameter.name],
      isCopy: true,
    };
  });
}

function trainedBiases({ bias }: AdapterFields, base: AdapterBase, targets: readonly LoraTarget[]): TrainedParameter[] {
  if (bias === 'none') return [];
  const adapted = new Set(targets.map(({ name }) => name));
  return base.modules
    .filter(({ name }) => bias === 'all' || adapted.has(name))
    .flatMap(parametersOfModule)
    .filter(({ name }) => name.endsWith('.bias'))
    .map((parameter) => {
      const { name } = parameter.module;
      return { ...parameter, keys: [adapted.has(name) ? `${name}.base_layer.bias` : parameter.name], isCopy: false };
    });
}

type Problem = readonly [setting: AdapterSetting, message: string];

/** Finds settings that would do nothing, which PEFT takes with a warning or silently. */
function withoutEffect(config: AdapterFields, base: AdapterBase): Problem[] {
  const problems: Problem[] = [];
  const endings = [...new Set(base.modules.map(({ name }) => lastSegment(name)))].join(', ');
  for (const entry of config.modules_to_save ?? [])
    if (!base.modules.some(({ name }) => matchesEntry(name, entry)))
      problems.push(['modules_to_save', `${show(entry)} matches no module. Modules here end in ${endings}.`]);
  if (!config.ensure_weight_tying) return problems;
  const ends = embeddingEnds(base);
  if (!base.tied) problems.push(['ensure_weight_tying', 'is true, but this model ties no weights. Leave it out.']);
  else if (
    config.trainable_token_indices === null &&
    !savedModules(config, base).some(({ name }) => ends.includes(name))
  )
    problems.push([
      'ensure_weight_tying',
      `is true, but modules_to_save has neither ${ends.join(' nor ')}. Leave it out.`,
    ]);
  return problems;
}

const embeddingEnds = (base: AdapterBase): string[] => [base.inputEmbedding, base.outputEmbedding];

function savedProblems(config: AdapterFields, base: AdapterBase, targets: readonly LoraTarget[]): Problem[] {
  const problems: Problem[] = [];
  const report = (message: string) => problems.push(['modules_to_save', message]);
  for (const entry of config.modules_to_save ?? []) {
    const modules = base.modules.filter(({ name }) => matchesEntry(name, entry));
    const adapted = targets.find(({ name }) => modules.some((module) => module.name === name));
    if (adapted !== undefined)
      report(
        `${show(entry)} is part of the name ${adapted.name}, which is adapted. Give the whole last part of a name.`,
      );
    const biased = modules.find((module) => module.kind === 'linear' && module.bias);
    if (config.bias === 'all' && biased !== undefined)
      report(`${show(entry)} trains ${biased.name} whole, and bias "all" its bias as well. Keep one of the two.`);
  }
  if (!base.tied || config.ensure_weight_tying) return problems;
  const ends = embeddingEnds(base);
  const end = savedModules(config, base).find(({ name }) => ends.includes(name));
  if (end !== undefined)
    report(
      `trains ${end.name}, which shares its weight with ${ends.find((name) => name !== end.name)}: training one of them ` +
        'would untie the two. Set ensure_weight_tying: true to train them as one, or leave it out.',
    );
  return problems;
}

function doraProblems(config: AdapterFields, targets: readonly LoraTarget[]): Problem[] {
  const embedding = targets.find(({ kind }) => kind === 'embedding');
  if (!config.use_dora || embedding === undefined) return [];
  return [
    ['target_modules', `adapts ${embedding.name} with use_dora, which nibble does not support for an embedding.`],
  ];
}

/** A bias on lora_B goes with PEFT's two plain starts alone, and with no DoRA. */
function loraBiasProblems(config: AdapterFields, targets: readonly LoraTarget[]): Problem[] {
  if (!config.lora_bias) return [];
  const problems: Problem[] = [];
  const report = (message: string) => problems.push(['lora_bias', `is true, ${message}`]);
  if (config.use_dora) report('which PEFT does not have with use_dora. Leave one of the two out.');
  const { init_lora_weights: init } = config;
  if (typeof init !== 'boolean')
    report(`which PEFT has with init_lora_weights true or false alone; it is ${show(init)}. Leave one of the two out.`);
  const embedding = targets.find(({ kind }) => kind === 'embedding');
  if (embedding !== undefined)
    report(`and target_modules adapts ${embedding.name}: PEFT has no bias on an embedding's pair. Leave it out.`);
  return problems;
}
