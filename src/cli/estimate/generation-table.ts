/** Formats an estimate of generation as a table for a person. */

import type { GenerateEstimateResult, GenerationFigures } from '../../estimate/generation-figures.ts';
import { MOST_SEQUENCES } from '../../estimate/generation-lengths.ts';
import { CATEGORIES } from '../../gpu/category.ts';
import { counted, formatBytes, formatCount } from '../../report/format.ts';

type Figures = Extract<GenerationFigures, { readonly by_category: unknown }>;

/** Formats an estimate: a column for each form of the base; rows for categories, peak and phases; sizes in words. */
export function generationTable(result: GenerateEstimateResult): string {
  const { estimates, max_gpu_memory: allowed, batch_size, context } = result;
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(24)}${cells.map((c) => c.padStart(16)).join('')}\n`;
  const figures = (label: string, of: (estimate: Figures) => string): string =>
    line(
      label,
      estimates.map((estimate) => (estimate.peak_bytes === null ? '–' : of(estimate))),
    );
  const done = estimates.filter((e): e is Figures => e.peak_bytes !== null);
  const phases = [...new Set(done.flatMap(({ by_phase }) => by_phase.map(({ phase }) => phase)))];
  const categories = [...CATEGORIES, 'alignment' as const].filter((c) => done.some((e) => e.by_category[c] > 0));
  return [
    head(result),
    line(
      '',
      estimates.map(({ base }) => base),
    ),
    ...categories.map((category) => figures(category, (e) => formatBytes(e.by_category[category]))),
    figures('peak', (e) => formatBytes(e.peak_bytes)),
    ...phases.map((phase) =>
      figures(`  in ${phase}`, (e) => formatBytes(e.by_phase.find((p) => p.phase === phase)?.peak ?? null)),
    ),
    ...(allowed === null
      ? ['\nWith --max_gpu_memory it also says how long a context and how large a batch fits.\n']
      : [
          figures(`fits ${formatBytes(allowed)}`, (e) => (e.fits === true ? 'yes' : 'no')),
          figures(`batch at context ${context}`, (e) => batchInWords(e.largest_batch_size ?? 0)),
          figures(`context at batch ${batch_size}`, (e) => formatCount(e.longest_context ?? 0)),
        ]),
    ...estimates.flatMap((e) => (e.peak_bytes === null ? [`\n${e.base}: ${e.reason}\n`] : [])),
  ].join('');
}

const batchInWords = (batch: number): string => (batch >= MOST_SEQUENCES ? `${batch} or more` : `${batch}`);

function head(result: GenerateEstimateResult): string {
  const { model, compute_dtype, profile, batch_size, context, max_new_tokens, adapters } = result;
  const { max_position_embeddings: positions, kv_cache_bytes_per_token: cache } = result;
  const limited = context === positions ? ' (all positions of the model)' : '';
  const with_ = adapters.length === 0 ? 'no adapter' : counted(adapters.length, 'adapter');
  return [
    `nibble generate with ${model}, ${with_}, ${compute_dtype}, device profile ${profile}:\n`,
    `${counted(batch_size, 'sequence')} at once, ${context} tokens each${limited}: ${counted(context - max_new_tokens, 'token')} of a prompt and ${counted(max_new_tokens, 'new token')}\n`,
    `keys and values take ${formatBytes(cache)} a token; shorter requests need less\n\n`,
  ].join('');
}
