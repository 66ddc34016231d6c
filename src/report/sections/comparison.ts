/** Every compared metric in one table: medians of both arms, paired difference, interval, winner. */
import { MIN_PAIRS, UNDECIDED } from '../../results/paired.ts';
import {
  type Comparison,
  type LossDifference,
  METRIC_NAMES,
  METRICS,
  type Metric,
  type PairedSummary,
  type SuiteSummary,
} from '../../results/summary-schema.ts';
import { armLabel, groupLabel, medianOf } from '../arms.ts';
import {
  type Block,
  countFigure,
  type Figure,
  figure,
  paragraph,
  ratioFigure,
  type Section,
  type Table,
} from '../document.ts';
import { counted, formatBytes, formatFixed, formatMs, formatRatio, withSign } from '../format.ts';

/** How a value of each metric is shown. */
export const METRIC_FORMATS: Record<Metric, (value: number | null) => string> = {
  peak_memory_bytes: formatBytes,
  step_time_ms: formatMs,
  tokens_per_second: (value) => formatFixed(value, 1),
  eval_loss: (value) => formatFixed(value, 4),
  eval_loss_drop: (value) => formatFixed(value, 4),
  perplexity: (value) => formatFixed(value, 2),
};

/** Compares every arm with the baseline of its case; null where there is nothing to compare. */
export function comparisonSection(summary: SuiteSummary): Section | null {
  const compared = summary.comparisons.filter(({ n }) => n > 0);
  const [first] = compared;
  if (first === undefined) return null;
  if (compared.length === 1)
    return {
      id: 'comparison',
      heading: `${armLabel(first.treatment)} against ${armLabel(first.baseline)}`,
      blocks: comparisonBlocks(summary, first, ''),
    };
  const details = compared.map((one, i): Block => {
    const blocks = comparisonBlocks(summary, one, `-${i + 1}`);
    return { kind: 'details', summary: `${titleOf(one)}: every metric`, blocks };
  });
  return {
    id: 'comparison',
    heading: `${compared.length} comparisons with ${[...new Set(compared.map(({ baseline }) => armLabel(baseline)))].join(', ')}`,
    blocks: [paragraph(overviewRules(compared)), overviewTable(compared), ...details],
  };
}

function titleOf({ baseline, treatment, case: name }: Comparison): string {
  return `${groupLabel({ arm: treatment, case: name })} against ${armLabel(baseline)}`;
}

function overviewRules(compared: readonly Comparison[]): string {
  const few = compared.some(({ n }) => n < MIN_PAIRS);
  return [
    'Medians over pairs of runs with the same seed and case, and in brackets their range or, from six pairs on, a 95 % interval. ',
    'p is corrected by Holm for the two noisy metrics of a pair of arms, not for the number of arms: of twenty arms that do not ',
    'differ, one may be named. ~ stands for no winner.',
    ...(few ? [` Fewer than ${MIN_PAIRS} pairs name none in time or loss.`] : []),
  ].join('');
}

/** A row for each pair of arms: what leads the headline, and who is ahead. */
function overviewTable(compared: readonly Comparison[]): Table {
  const spread = (
    pair: PairedSummary,
    of: 'ratio' | 'difference',
    format: (value: number | null) => string,
  ): string => {
    const range = pair[`${of}_ci95`] ?? pair[`${of}_range`];
    return range === null ? '–' : `${format(range[0])} to ${format(range[1])}`;
  };
  const winner = (pair: PairedSummary | null) => (pair === null ? '–' : armLabel(pair.winner));
  const loss = (value: number | null) => withSign(value, METRIC_FORMATS.eval_loss);
  return {
    kind: 'table',
    id: 'comparisons-table',
    caption: 'Every arm against the baseline',
    columns: ['arm', 'n', 'peak memory', 'less', 'step time', 'from, to', 'faster', 'final loss', 'from, to', 'lower'],
    rows: compared.map(({ treatment, case: name, n, paired }) => {
      const { peak_memory_bytes: memory, step_time_ms: time, eval_loss: quality } = paired;
      return [
        groupLabel({ arm: treatment, case: name }),
        countFigure(n),
        ratioFigure(memory?.median_ratio ?? null),
        winner(memory),
        ratioFigure(time?.median_ratio ?? null),
        time === null ? '–' : spread(time, 'ratio', formatRatio),
        winner(time),
        figure(quality?.median_difference ?? null, loss),
        quality === null ? '–' : spread(quality, 'difference', loss),
        winner(quality),
      ];
    }),
  };
}

/** The tables of one comparison; `suffix` keeps the ids of several apart. */
function comparisonBlocks(summary: SuiteSummary, comparison: Comparison, suffix: string): Block[] {
  const { baseline, treatment, case: name, paired } = comparison;
  const medianIn = (arm: string, metric: Metric) => medianOf(summary, { arm, case: name }, metric);
  const rows = METRIC_NAMES.map((metric) => {
    const show = (value: number | null): Figure => figure(value, METRIC_FORMATS[metric]);
    const difference = (value: number | null) => figure(value, (v) => withSign(v, METRIC_FORMATS[metric]));
    const pair = paired[metric];
    const [low, high] = pair?.difference_ci95 ?? pair?.difference_range ?? [null, null];
    return [
      `${METRICS[metric].label} (${METRICS[metric].better} is better)`,
      show(medianIn(baseline, metric)),
      show(medianIn(treatment, metric)),
      difference(pair?.median_difference ?? null),
      difference(low),
      difference(high),
      ratioFigure(pair?.median_ratio ?? null),
      countFigure(pair?.n ?? 0),
      figure(pair?.p_holm ?? null, formatP),
      pair === null ? '–' : armLabel(pair.winner),
    ];
  });
  return [
    paragraph(readingRules(comparison)),
    {
      kind: 'table',
      id: `comparison-table${suffix}`,
      caption: `Medians and paired differences${suffix === '' ? '' : `: ${titleOf(comparison)}`}`,
      columns: [
        'metric',
        armLabel(baseline),
        armLabel(treatment),
        'difference, median of pairs',
        'from',
        'to',
        'ratio, median of pairs',
        'n',
        'p',
        'winner',
      ],
      rows,
    },
    ...whyUndecided(comparison),
    ...qualityBlocks(comparison, suffix),
  ];
}

/** Says what the columns are: a range below six pairs, an interval from there on, and what p was corrected for. */
function readingRules({ n }: Comparison): string {
  const spread =
    n < MIN_PAIRS
      ? `From and to are the range of the ${counted(n, 'pair')}: fewer than ${MIN_PAIRS} have no 95 % interval, and noisy metrics no winner. `
      : 'From and to are a 95 % interval, the differences that the test does not reject; bytes that repeat exactly have their range. ';
  return [
    'Differences are taken seed by seed, both arms seeing the same batches. Their median is not the difference of the two ',
    'medians beside it. ',
    spread,
    'p is of the exact signed-rank test, corrected by Holm for the noisy metrics that lead the headline (step time and ',
    'evaluation loss). Throughput, perplexity and the drop of the loss restate those two and share their winner. ~ stands for no winner.',
  ].join('');
}

/** Lists each leading metric that has no winner, with the reasons and the smallest difference that would have counted. */
function whyUndecided({ paired }: Comparison): Block[] {
  const leaders = METRIC_NAMES.filter((metric) => METRICS[metric].follows === null);
  const items = leaders.flatMap((metric) => {
    const pair = paired[metric];
    if (pair === null || pair.winner !== UNDECIDED) return [];
    return [[`${METRICS[metric].label}: ${pair.undecided_because.join('; ')}.`]];
  });
  return items.length === 0 ? [] : [paragraph('Why no winner is named:'), { kind: 'list', items }];
}

/** Splits the loss: what quantizing cost before the first step, what training gained, and what the rows leave open. */
function qualityBlocks({ baseline, treatment, quality }: Comparison, suffix: string): Block[] {
  if (quality === null) return [];
  const loss = (value: number | null): Figure => figure(value, (v) => withSign(v, METRIC_FORMATS.eval_loss));
  const row = (label: string, { median_difference, rows }: LossDifference) => [
    label,
    loss(median_difference),
    figure(rows?.stderr ?? null, METRIC_FORMATS.eval_loss),
    loss(rows?.ci95[0] ?? null),
    loss(rows?.ci95[1] ?? null),
    countFigure(rows?.rows ?? null),
  ];
  return [
    paragraph(
      `${armLabel(treatment)} minus ${armLabel(baseline)} in nats a token: after training is before training minus what was gained. The standard error takes `,
      'a row as one observation, averaged over the seeds, and asks what other rows of this kind would have shown.',
    ),
    {
      kind: 'table',
      id: `quality-split${suffix}`,
      caption: 'Evaluation loss, before and by training',
      columns: ['part', 'difference, median of pairs', 'standard error over rows', 'from', 'to', 'rows'],
      rows: [
        row('before training: what the base brings', quality.before),
        row('gained by training (above zero: more)', quality.gained),
        row('after training', quality.after),
      ],
    },
  ];
}

/** Formats a p-value to two digits. */
function formatP(value: number | null): string {
  if (value === null) return '–';
  return value < 0.001 ? 'below 0.001' : formatFixed(value, value < 0.1 ? 3 : 2);
}
