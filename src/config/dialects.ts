/** Recipes of other trainers: how a file is known as one, and the defaults it was written against where they are not ours. */
import type { ConfigProblem } from '../errors.ts';
import { hasChatTemplate } from './axolotl-datasets.ts';
import type { Entry, Layer } from './layers.ts';
import { type SettingKey, settings } from './settings.ts';
import { show } from './show.ts';

type Dialect = {
  readonly name: string;
  /** Names by which a file is known: one of each list. */
  readonly marks: readonly (readonly string[])[];
  /** Names that no other trainer has. */
  readonly own: readonly string[];
  /** What its trainer takes where a recipe says nothing. */
  readonly defaults: (recipe: Recipe, root: Root) => Partial<Record<SettingKey, unknown>>;
};

type Recipe = ReadonlyMap<SettingKey, Entry>;
/** A file: its names and values as they stand there, and what it sets under our names. */
type Root = Readonly<Record<string, unknown>>;
type RecipeFile = { readonly root: Root; readonly entries: Recipe };

const valueIn = (recipe: Recipe, key: SettingKey): unknown => recipe.get(key)?.value;

/** Without an adapter Axolotl trains all weights; a recipe that sets something of one, or 4 bits, means one. */
function asksForAdapter(recipe: Recipe): boolean {
  const isOfAdapter = (key: SettingKey): boolean => /^(method|use_(dora|rslora)|adapter_.*|lora_.*)$/.test(key);
  return valueIn(recipe, 'load_in_4bit') === true || [...recipe.keys()].some(isOfAdapter);
}

/** Axolotl 0.18, LLaMA-Factory 0.9.5 and the `trl sft` of TRL 1.16, by their argument classes. */
const DIALECTS: readonly Dialect[] = [
  {
    name: 'Axolotl',
    marks: [['base_model'], ['adapter', 'micro_batch_size', 'sequence_len', 'sample_packing', 'lora_target_linear']],
    own: ['evals_per_epoch', 'saves_per_epoch', 'train_on_inputs'],
    defaults: (recipe, root) => ({
      ...(asksForAdapter(recipe) ? {} : { method: 'full' }),
      ...(hasChatTemplate(root.datasets) && root.train_on_inputs !== true ? { assistant_only_loss: true } : {}),
      bnb_4bit_use_double_quant: true,
      per_device_train_batch_size: 1,
      num_train_epochs: 1,
      lr_scheduler_type: 'cosine',
      max_length: 512,
    }),
  },
  {
    name: 'LLaMA-Factory',
    marks: [['finetuning_type', 'stage']],
    own: ['quantization_bit'],
    defaults: (recipe) => ({
      bnb_4bit_use_double_quant: true,
      lora_alpha: 2 * Number(valueIn(recipe, 'lora_r') ?? 8),
      lora_target_modules: 'all-linear',
      max_length: 2048,
    }),
  },
  {
    name: 'TRL',
    marks: [],
    own: ['use_peft'],
    defaults: (recipe) => ({
      lora_r: 16,
      lora_alpha: 32,
      lora_dropout: 0.05,
      learning_rate: 2e-5,
      ...(recipe.has('fp16') ? {} : { bf16: true }),
      gradient_checkpointing: true,
      logging_steps: 10,
    }),
  },
];

const ADAPTER_ONLY: ReadonlySet<SettingKey> = new Set([
  ...(['lora_r', 'lora_alpha', 'lora_dropout', 'lora_target_modules'] as const),
]);

/**
 * What a recipe means to the trainer that it is written for: that one's defaults, and counts by epoch. It lies below
 * everything that is set; null for our own files.
 */
export function dialectLayer({ root, entries: recipe }: RecipeFile): Layer | null {
  const names = Object.keys(root);
  const dialect = DIALECTS.find(
    ({ marks, own }) =>
      own.some((name) => names.includes(name)) ||
      (marks.length > 0 && marks.every((list) => list.some((mark) => names.includes(mark)))),
  );
  if (dialect === undefined) return null;
  const entries = new Map<SettingKey, Entry>();
  const take = (key: SettingKey, value: unknown, where: string): void => {
    const origin = { source: 'default', where } as const;
    if (!recipe.has(key)) entries.set(key, { key, path: key, value: settings.shape[key].parse(value), origin });
  };
  const defaults = dialect.defaults(recipe, root);
  const method =
    valueIn(recipe, 'method') ?? defaults.method ?? (valueIn(recipe, 'load_in_4bit') === true ? 'qlora' : 'lora');
  for (const [key, value] of Object.entries(defaults) as [SettingKey, unknown][]) {
    const isMeant =
      key === 'bnb_4bit_use_double_quant' ? method === 'qlora' : method !== 'full' || !ADAPTER_ONLY.has(key);
    if (isMeant) take(key, value, `default of ${dialect.name}`);
  }
  const list = [...entries.values()].map(({ key, value }) => `${key} ${String(value)}`).join(', ');
  const problems = byEpoch(root, recipe, take);
  const message = `read as one of ${dialect.name}, whose defaults hold where it says nothing: ${list}`;
  return {
    entries,
    mentioned: new Set(),
    problems,
    notices: list === '' ? [] : [{ path: 'recipe', message, isFollowed: true }],
  };
}

/** Axolotl counts evaluations and checkpoints by epoch; both are fractions of all steps here, as they become there. */
function byEpoch(
  root: Readonly<Record<string, unknown>>,
  recipe: Recipe,
  take: (key: SettingKey, value: unknown, where: string) => void,
): ConfigProblem[] {
  const epochs = Number(valueIn(recipe, 'num_train_epochs') ?? 1);
  const isEvaluated = recipe.has('eval_datasets') || Number(valueIn(recipe, 'val_set_size') ?? 0) > 0;
  const problems: ConfigProblem[] = [];
  for (const name of ['evals_per_epoch', 'saves_per_epoch'] as const) {
    const times = root[name];
    if (times === undefined || times === null) continue;
    if (typeof times !== 'number' || !Number.isInteger(times) || times < 0)
      problems.push({ path: name, message: `got ${show(times)}, wanted an integer of at least 0` });
    else if (name === 'saves_per_epoch') takeShare('save', times * epochs, name, take);
    else if (isEvaluated) takeShare('eval', times * epochs, name, take);
  }
  return problems;
}

function takeShare(
  what: 'eval' | 'save',
  times: number,
  where: string,
  take: (key: SettingKey, value: unknown, where: string) => void,
): void {
  take(`${what}_strategy`, times === 0 ? 'no' : 'steps', where);
  // once is at the end, where both happen anyway
  if (times > 1) take(`${what}_steps`, 1 / times, where);
  else if (times > 0) take(`${what}_strategy`, 'epoch', where);
}
