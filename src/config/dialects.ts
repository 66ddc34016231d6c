/** Recipes of other trainers: how a file is known as one, and the defaults it was written against where they are not ours. */
import type { ConfigProblem } from '../errors.ts';
import type { Entry, Layer } from './layers.ts';
import { type SettingKey, settings } from './settings.ts';

type Dialect = {
  readonly name: string;
  /** Names by which a file is known: one of each list. */
  readonly marks: readonly (readonly string[])[];
  /** What its trainer takes where a recipe says nothing. */
  readonly defaults: (recipe: ReadonlyMap<SettingKey, Entry>) => Partial<Record<SettingKey, unknown>>;
};

const valueIn = (recipe: ReadonlyMap<SettingKey, Entry>, key: SettingKey): unknown => recipe.get(key)?.value;

/** Axolotl 0.18 and LLaMA-Factory 0.9.5, by their argument classes. */
const DIALECTS: readonly Dialect[] = [
  {
    name: 'Axolotl',
    marks: [['base_model'], ['adapter', 'micro_batch_size', 'sequence_len', 'sample_packing', 'lora_target_linear']],
    defaults: () => ({
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
    defaults: (recipe) => ({
      bnb_4bit_use_double_quant: true,
      lora_alpha: 2 * Number(valueIn(recipe, 'lora_r') ?? 8),
      lora_target_modules: 'all-linear',
      max_length: 2048,
    }),
  },
];

const ADAPTER_ONLY: ReadonlySet<SettingKey> = new Set(['lora_alpha', 'lora_target_modules']);

/**
 * The defaults of the trainer that a recipe is written for, below everything that is set; null for our own files.
 * @param names names as they stand in the file @param recipe what it sets, under our names
 */
export function dialectLayer(names: readonly string[], recipe: ReadonlyMap<SettingKey, Entry>): Layer | null {
  const dialect = DIALECTS.find(({ marks }) => marks.every((list) => list.some((mark) => names.includes(mark))));
  if (dialect === undefined) return null;
  const method = valueIn(recipe, 'method') ?? (valueIn(recipe, 'load_in_4bit') === true ? 'qlora' : 'lora');
  const entries = new Map<SettingKey, Entry>();
  for (const [key, value] of Object.entries(dialect.defaults(recipe)) as [SettingKey, unknown][]) {
    const applies = method !== 'full' || !ADAPTER_ONLY.has(key);
    if (recipe.has(key) || !applies || (key === 'bnb_4bit_use_double_quant' && method !== 'qlora')) continue;
    const origin = { source: 'default', where: `default of ${dialect.name}` } as const;
    entries.set(key, { key, path: key, value: settings.shape[key].parse(value), origin });
  }
  const notices: ConfigProblem[] = [];
  if (entries.size > 0) {
    const list = [...entries.values()].map(({ key, value }) => `${key} ${String(value)}`).join(', ');
    notices.push({
      path: 'recipe',
      message: `read as one of ${dialect.name}, whose defaults hold where it says nothing: ${list}`,
    });
  }
  return { entries, mentioned: new Set(), problems: [], notices };
}
