/** An estimate as a person reads it. */
import type { Estimate } from '../../estimate/estimate.ts';
import { CATEGORIES } from '../../gpu/category.ts';
import { formatBytes } from '../../report/format.ts';

export type EstimateSettings = {
  readonly profile: string;
  /** Those of the matrix kernels; null where they have none. */
  readonly tiles: 'default' | null;
  readonly model: string;
  readonly per_device_train_batch_size: number;
  /** At most the positions of the model. */
  readonly max_length: number;
  readonly compute_dtype: string;
  /** Bytes that a run may need; null where nothing is said. */
  readonly max_gpu_memory: number | null;
};

/** How the QLoRA column quantizes its base; `assumed`: the configuration itself does not say so. */
export type QloraRecipe = {
  readonly bnb_4bit_quant_type: 'nf4' | 'fp4';
  readonly bnb_4bit_use_double_quant: boolean;
  readonly bnb_4bit_blocksize: number;
  readonly assumed: boolean;
};

export type EstimateRow = {
  readonly method: 'lora' | 'qlora' | 'full';
  readonly estimate: Estimate | null;
  readonly reason: string | null;
};

export type EstimateReport = {
  readonly settings: EstimateSettings;
  readonly positions: number;
  readonly recipe: QloraRecipe;
  readonly rows: readonly EstimateRow[];
  /** Of the QLoRA column's linear layers; null where it has none. */
  readonly bitsPerParameter: number | null;
};

export function estimateTable({ settings, positions, recipe, rows, bitsPerParameter }: EstimateReport): string {
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(16)}${cells.map((c) => c.padStart(16)).join('')}\n`;
  const figures = (label: string, of: (estimate: Estimate) => string): string =>
    line(
      label,
      rows.map(({ estimate }) => (estimate === null ? '–' : of(estimate))),
    );
  const phases = [...new Set(rows.flatMap(({ estimate }) => estimate?.phases.map((p) => p.phase) ?? []))];
  const { per_device_train_batch_size: batch, max_length: length, max_gpu_memory: allowed } = settings;
  const limited = length === positions ? ' (all positions of the model)' : '';
  return [
    `${settings.model}, ${settings.compute_dtype}, device profile ${settings.profile}:\n`,
    `full batches of ${batch} x ${length} tokens${limited}; shorter rows need less, batches of several shapes a little more\n`,
    ...(settings.tiles === null
      ? []
      : [
          'default tiles: where nibble tune-kernels kept others, workspace may differ, and nibble train says its own peak first\n',
        ]),
    '\n',
    line(
      '',
      rows.map(({ method }) => method),
    ),
    ...[...CATEGORIES, 'alignment' as const].map((category) =>
      figures(category, (e) => formatBytes(e.byCategory[category])),
    ),
    figures('peak', (e) => formatBytes(e.peakBytes)),
    ...(allowed === null
      ? []
      : [figures(`fits ${formatBytes(allowed)}`, (e) => (e.peakBytes <= allowed ? 'yes' : 'no'))]),
    ...phases.map((phase) => figures(`  in ${phase}`, (e) => formatBytes(peakIn(e, phase)))),
    figures('trainable', (e) => e.trainableParams.toLocaleString('en-US')),
    `\n${recipeLine(recipe, bitsPerParameter)}\n`,
    ...rows.flatMap(({ method, reason }) => (reason === null ? [] : [`\n${method}: ${reason}\n`])),
  ].join('');
}

const peakIn = (estimate: Estimate, phase: string): number | null =>
  estimate.phases.find((p) => p.phase === phase)?.peakBytes ?? null;

function recipeLine(recipe: QloraRecipe, bitsPerParameter: number | null): string {
  const double = recipe.bnb_4bit_use_double_quant ? 'with' : 'without';
  const what = `qlora: ${recipe.bnb_4bit_quant_type} in blocks of ${recipe.bnb_4bit_blocksize} ${double} double quantization`;
  const bits =
    bitsPerParameter === null ? '' : `, ${bitsPerParameter.toFixed(3)} bits a parameter of its linear layers`;
  const assumed = recipe.assumed
    ? '\nThe settings are not for qlora: this is what the column assumes, nibble train would not.'
    : '';
  return `${what}${bits}.${assumed}`;
}
