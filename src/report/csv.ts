/** runs.csv: a row for each run in full precision, PEFT's column names first. */
import { stringify } from 'csv-stringify/sync';
import { MEMORY_CATEGORIES, type RunRecord } from '../results/run-schema.ts';
import { metricOf } from '../results/summarize.ts';

export type CsvValue = string | number | boolean | null;
export type Column = readonly [name: string, read: (run: RunRecord) => CsvValue];

const PEFT_COLUMNS: readonly Column[] = [
  ['experiment_name', (run) => run.run_info.experiment_name],
  ['peft_type', (run) => text(run.run_info.peft_config?.peft_type) ?? 'full-finetuning'],
  ['total_time', (run) => run.run_info.total_time],
  ['train_time', (run) => run.train_info.timing.train_s],
  ['train_loss', (run) => run.train_info.history.at(-1)?.loss ?? null],
  ['accelerator_memory_max', (run) => run.train_info.accelerator_memory_max],
  ['accelerator_memory_reserved_99th', (run) => run.train_info.accelerator_memory_reserved_99th],
  ['accelerator_memory_reserved_avg', (run) => run.train_info.accelerator_memory_reserved_avg],
  ['file_size', (run) => run.train_info.file_size],
  ['created_at', (run) => run.run_info.created_at],
  ['task_name', (run) => run.run_info.suite],
  ['model_id', (run) => run.meta_info.model_info.id],
  ['train_total_tokens', (run) => run.train_info.history.at(-1)?.num_input_tokens_seen ?? null],
  ['num_trainable_params', (run) => run.train_info.num_trainable_params],
  ['num_total_params', (run) => run.train_info.num_total_params],
];

const OWN_COLUMNS: readonly Column[] = [
  ['run_id', (run) => run.run_info.run_id],
  ['arm', (run) => run.run_info.arm],
  ['case', (run) => run.run_info.case ?? null],
  ['seed', (run) => run.run_info.seed],
  ['replicate', (run) => run.run_info.replicate],
  ['status', (run) => run.run_info.status],
  ['error', (run) => run.run_info.error?.message ?? null],
  ['tier', (run) => run.train_info.tier],
  ['device', (run) => run.meta_info.gpu?.description ?? null],
  ['software_rendered', (run) => run.meta_info.gpu?.software_rendered ?? null],
  ['peak_memory_bytes', (run) => metricOf(run, 'peak_memory_bytes')],
  ['predicted_peak_bytes', (run) => run.train_info.memory?.predicted?.total ?? null],
  ...MEMORY_CATEGORIES.map(
    (category): Column => [`${category}_bytes`, (run) => run.train_info.memory?.by_category[category] ?? null],
  ),
  ['step_time_ms_p50', (run) => run.train_info.step_time_ms?.p50 ?? null],
  ['step_time_ms_mean', (run) => run.train_info.step_time_ms?.mean ?? null],
  ['step_time_ms_p95', (run) => run.train_info.step_time_ms?.p95 ?? null],
  ['tokens_per_second', (run) => run.train_info.throughput.tokens_per_second],
  ['eval_loss_before', (run) => run.eval_info.metrics_before?.eval_loss.value ?? null],
  ['eval_loss', (run) => run.eval_info.metrics?.eval_loss.value ?? null],
  ['perplexity_before', (run) => run.eval_info.metrics_before?.perplexity ?? null],
  ['perplexity', (run) => run.eval_info.metrics?.perplexity ?? null],
  ['eval_tokens', (run) => run.eval_info.metrics?.eval_loss.n ?? null],
  ['load_s', (run) => run.train_info.timing.load_s],
  ['quantize_s', (run) => run.train_info.timing.quantize_s],
  ['compile_s', (run) => run.train_info.timing.compile_s],
  ['eval_s', (run) => run.train_info.timing.eval_s],
];

const COLUMNS: readonly Column[] = [...PEFT_COLUMNS, ...OWN_COLUMNS];

/** Formats runs.csv. */
export function renderCsv(runs: readonly RunRecord[]): string {
  return formatCsv(COLUMNS, runs);
}

/** Formats RFC 4180 with a header; an empty field is a value that was not measured. */
export function formatCsv(columns: readonly Column[], runs: readonly RunRecord[]): string {
  const header = columns.map(([name]) => name);
  const rows = runs.map((run) => columns.map(([, read]) => guarded(read(run))));
  return stringify([header, ...rows], { record_delimiter: 'windows', cast: { boolean: String } });
}

/**
 * Puts an apostrophe before text that a spreadsheet would run: it starts with = + - @, a tab or a return. Numbers stay as they
 * are: csv-stringify's own guard would turn -1 into '-1, and a minus before digits runs nothing.
 */
function guarded(value: CsvValue): CsvValue {
  return typeof value === 'string' && /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : value;
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
