/** Formats an estimate as a table for a person. */
import type { EstimateResult, MethodEstimate, QloraRecipe } from '../../estimate/types.ts';
import { CATEGORIES } from '../../gpu/category.ts';
import { formatBytes } from '../../report/format.ts';
import { formatGB } from './words.ts';

type Figures = Extract<MethodEstimate, { readonly by_category: unknown }>;

/** Formats an estimate: a column per method; rows for peak, categories, phases and parameters; sizes in words. */
export function estimateTable(result: EstimateResult): string {
  const { estimates, max_gpu_memory: allowed } = result;
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(16)}${cells.map((c) => c.padStart(16)).join('')}\n`;
  const figures = (label: string, of: (estimate: Figures) => string): string =>
    line(
      label,
      estimates.map((estimate) => (estimate.peak_bytes === null ? '–' : of(estimate))),
    );
  const done = estimates.filter((e): e is Figures => e.peak_bytes !== null);
  const phases = [...new Set(done.flatMap(({ by_phase }) => by_phase.map(({ phase }) => phase)))];
  return [
    head(result),
    line(
      '',
      estimates.map(({ method }) => method),
    ),
    ...[...CATEGORIES, 'alignment' as const].map((category) =>
      figures(category, (e) => formatBytes(e.by_category[category])),
    ),
    figures('peak', (e) => formatBytes(e.peak_bytes)),
    figures('  in GB', (e) => formatGB(e.peak_bytes)),
    ...(allowed === null ? [] : [figures(`fits ${formatBytes(allowed)}`, (e) => (e.fits === true ? 'yes' : 'no'))]),
    ...phases.map((phase) => figures(`  in ${phase}`, (e) => formatBytes(peakIn(e, phase)))),
    figures('trainable', (e) => e.num_trainable_params.toLocaleString('en-US')),
    `\n${recipeLine(result.qlora_quantization, bitsPerParameter(done))}\n`,
    ...estimates.flatMap((e) => (e.peak_bytes === null ? [`\n${e.method}: ${e.reason}\n`] : [])),
  ].join('');
}

function head({ model, compute_dtype, profile, tiles, ...more }: EstimateResult): string {
  const { per_device_train_batch_size: batch, max_length: length, max_position_embeddings: positions } = more;
  const limited = length === positions ? ' (all positions of the model)' : '';
  return [
    `${model}, ${compute_dtype}, device profile ${profile}:\n`,
    `full batches of ${batch} x ${length} tokens${limited}; shorter rows need less, batches of several shapes a little more\n`,
    ...(tiles === null
      ? []
      : [
          'default tiles: where nibble tune-kernels kept others, workspace may differ, and nibble train says its own peak first\n',
        ]),
    '\n',
  ].join('');
}

const peakIn = ({ by_phase }: Figures, phase: string): number | null =>
  by_phase.find((p) => p.phase === phase)?.peak ?? null;

/** Bits per parameter of the linear layers in the QLoRA column; null without that column. */
const bitsPerParameter = (done: readonly Figures[]): number | null =>
  done.find(({ method }) => method === 'qlora')?.quantized_linears?.bits_per_parameter ?? null;

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
