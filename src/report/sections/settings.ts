/** What was run: the settings that all runs share in one table, those in which arms differ in another. */
import { type Group, isOf } from '../../results/groups.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { groupLabel, orderedArms } from '../arms.ts';
import { type Block, code, countFigure, type Inline, type Section, type Table } from '../document.ts';

/** Settings that a reader asks for first, by what they are called in a paper. */
const ASKED: readonly (readonly [key: string, label: string])[] = [
  ['method', 'method'],
  ['lora_r', 'rank'],
  ['lora_alpha', 'alpha'],
  ['lora_target_modules', 'targets'],
  ['learning_rate', 'learning rate'],
  ['lr_scheduler_type', 'schedule'],
  ['per_device_train_batch_size', 'rows of a micro-batch'],
  ['gradient_accumulation_steps', 'micro-batches of a step'],
  ['max_steps', 'steps'],
  ['num_train_epochs', 'epochs'],
  ['max_length', 'longest row, tokens'],
  ['dtype', 'dtype of the base'],
  ['compute_dtype', 'compute dtype'],
  ['optim', 'optimizer'],
  ['bnb_4bit_quant_type', '4-bit type'],
  ['bnb_4bit_use_double_quant', 'double quantization'],
];

/** Differs from run to run by design, or says where something lay. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'seed',
  'output_dir',
  'logging_dir',
  'bnb_4bit_compute_dtype',
  'load_in_4bit',
]);

/** Columns of differing settings that a page is wide enough for. */
const MOST_COLUMNS = 8;

/** Shows what was run; null without runs. */
export function settingsSection(runs: readonly RunRecord[], summary: SuiteSummary): Section | null {
  if (runs.length === 0) return null;
  const differing = differingKeys(runs);
  const blocks: Block[] = [sharedTable(runs, summary, differing)];
  if (differing.length > 0) blocks.push(differenceTable(runs, summary, differing));
  return { id: 'settings', heading: 'Settings', blocks };
}

/** Keys of settings with more than one value, those that are asked for first in front. */
function differingKeys(runs: readonly RunRecord[]): string[] {
  const keys = new Set([
    ...ASKED.map(([key]) => key),
    ...runs.flatMap((run) => Object.keys(run.run_info.train_config)),
  ]);
  return [...keys].filter((key) => !LEFT_OUT.has(key) && new Set(runs.map((run) => textOf(run, key))).size > 1);
}

function sharedTable(runs: readonly RunRecord[], summary: SuiteSummary, differing: readonly string[]): Table {
  const seeds = [...new Set(runs.map((run) => run.run_info.seed))].sort((a, b) => a - b);
  const shared = ASKED.filter(([key]) => !differing.includes(key) && runs[0]!.run_info.train_config[key] !== undefined);
  return {
    kind: 'table',
    id: 'settings-table',
    caption: 'Shared by all runs',
    columns: ['setting', 'value'],
    rows: [
      ...(summary.description === '' ? [] : [['asks', summary.description]]),
      ['division', DIVISIONS[summary.division ?? 'unsaid']],
      ['model', each(runs.map((run) => run.meta_info.model_info.id))],
      ...dataRows(runs),
      ...shared.map(([key, label]): Inline[] => [label, textOf(runs[0]!, key)]),
      ['seeds', seeds.join(', ')],
    ],
  };
}

const DIVISIONS = {
  closed: 'closed: arms differ only in how the base is stored',
  open: 'open: arms may differ in anything',
  unsaid: '–',
};

const each = (values: readonly string[]): string => [...new Set(values)].join(', ');

function dataRows(runs: readonly RunRecord[]): Inline[][] {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.meta_info.dataset_info)))];
  return names.map((name) => {
    const counts = [...new Set(runs.map((run) => run.meta_info.dataset_info[name]?.rows ?? null))];
    return [`rows, ${name}`, counts.length === 1 ? countFigure(counts[0]!) : counts.map((n) => n ?? '–').join(', ')];
  });
}

function differenceTable(runs: readonly RunRecord[], summary: SuiteSummary, differing: readonly string[]): Table {
  const keys = differing.slice(0, MOST_COLUMNS);
  const more = differing.length - keys.length;
  const labels = new Map(ASKED);
  const own = (group: Group, key: string): string =>
    each(runs.filter((run) => isOf(run, group)).map((run) => textOf(run, key)));
  return {
    kind: 'table',
    id: 'settings-differences',
    caption: `What differs between arms${more > 0 ? `: ${keys.length} of ${differing.length} settings, the run files have all` : ''}`,
    columns: ['arm', ...keys.map((key) => labels.get(key) ?? key)],
    rows: orderedArms(summary).map((group) => [groupLabel(group), ...keys.map((key) => code(own(group, key)))]),
  };
}

/** A setting as a person writes it. */
function textOf(run: RunRecord, key: string): string {
  const value = run.run_info.train_config[key];
  if (value === undefined || value === null) return '–';
  if (Array.isArray(value))
    return value.every((one) => typeof one === 'string') ? value.join(', ') : JSON.stringify(value);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
