/** Every compared metric in one table: medians of both arms, paired difference, interval, winner. */
import { METRIC_NAMES, METRICS, type Metric, type SuiteSummary } from '../../results/summary-schema.ts';
import { armLabel, medianOf } from '../arms.ts';
import { countFigure, type Figure, figure, paragraph, ratioFigure, type Section } from '../document.ts';
import { formatBytes, formatFixed, formatMs, withSign } from '../format.ts';

/** How a value of each metric is shown. */
export const METRIC_FORMATS: Record<Metric, (value: number | null) => string> = {
  peak_memory_bytes: formatBytes,
  step_time_ms: formatMs,
  tokens_per_second: (value) => formatFixed(value, 1),
  eval_loss: (value) => formatFixed(value, 4),
  eval_loss_drop: (value) => formatFixed(value, 4),
  perplexity: (value) => formatFixed(value, 2),
};

/** Compares the two arms; null where there are none to compare. */
export function comparisonSection(summary: SuiteSummary): Section | null {
  const { comparison, bootstrap } = summary;
  if (comparison === null || comparison.n === 0) return null;
  const { baseline, treatment, paired } = comparison;
  const rows = METRIC_NAMES.map((metric) => {
    const show = (value: number | null): Figure => figure(value, METRIC_FORMATS[metric]);
    const difference = (value: number | null) => figure(value, (v) => withSign(v, METRIC_FORMATS[metric]));
    const pair = paired[metric];
    const [low, high] = pair?.difference_ci95 ?? [null, null];
    return [
      `${METRICS[metric].label} (${METRICS[metric].better} is better)`,
      show(medianOf(summary, baseline, metric)),
      show(medianOf(summary, treatment, metric)),
      difference(pair?.median_difference ?? null),
      difference(low),
      difference(high),
      ratioFigure(pair?.median_ratio ?? null),
      countFigure(pair?.n ?? 0),
      pair === null ? '–' : armLabel(pair.winner),
    ];
  });
  return {
    id: 'comparison',
    heading: `${armLabel(treatment)} against ${armLabel(baseline)}`,
    blocks: [
      paragraph(
        'Differences are taken seed by seed, both arms seeing the same batches, and the table shows their median with ',
        `a 95 % percentile bootstrap interval (${bootstrap.resamples.toLocaleString('en-US')} resamples, seed ${bootstrap.seed}). `,
        'With three seeds that interval is the range of the three differences. ~ stands for no winner: ',
        'the interval holds zero, or there are fewer than three pairs.',
      ),
      {
        kind: 'table',
        id: 'comparison-table',
        caption: 'Medians and paired differences',
        columns: [
          'metric',
          armLabel(baseline),
          armLabel(treatment),
          'difference',
          'from',
          'to',
          'ratio',
          'n',
          'winner',
        ],
        rows,
      },
    ],
  };
}
