/** The sentences a reader takes away: what differs, what these runs cannot tell apart, and what that rests on. */
import { MIN_PAIRS, UNDECIDED } from '../../results/paired.ts';
import type { Comparison, Metric, PairedSummary, QualitySplit, SuiteSummary } from '../../results/summary-schema.ts';
import { armLabel, groupLabel, medianOf } from '../arms.ts';
import {
  type Block,
  bytesFigure,
  countFigure,
  type Figure,
  figure,
  fixedFigure,
  type Inline,
  msFigure,
} from '../document.ts';
import { formatFixed, formatPercent, withSign } from '../format.ts';

/** Builds what stands before any heading: the verdict, and a banner where runs failed, are missing or stand out. */
export function leadBlocks(summary: SuiteSummary): Block[] {
  const lead: Block[] = [{ kind: 'verdict', content: verdict(summary) }];
  if (summary.description !== '') lead.push({ kind: 'paragraph', content: [summary.description] });
  const failed = summary.arms.filter((arm) => arm.failed > 0);
  if (failed.length > 0) {
    const list = failed.map((arm) => `${arm.failed} of ${groupLabel(arm)}`).join(', ');
    lead.push({ kind: 'banner', content: [`Runs that did not end well: ${list}. They enter no statistic.`] });
  }
  if (summary.notices.length > 0) lead.push({ kind: 'banner', content: [`${summary.notices.join('. ')}.`] });
  return lead;
}

/** Formats the verdict as plain text, for a terminal. */
export function verdictText(summary: SuiteSummary): string {
  return verdict(summary)
    .map((part) => (typeof part === 'string' ? part : part.text))
    .join('');
}

/** Warns that times were taken on a CPU; `driver` is the name the driver gives itself. */
export function softwareBanner(driver: string, arms = 2): Block {
  const which = arms === 2 ? 'the two arms' : 'the arms';
  return {
    kind: 'banner',
    content: [
      `Rendered on ${driver}, a software driver: times compare ${which} with each other, they say nothing about a GPU. `,
      'Bytes and losses do not depend on it.',
    ],
  };
}

/** Comparisons that get a sentence each; more are counted. */
const MOST_SENTENCES = 3;

/** Builds the verdict as text and figures. */
export function verdict(summary: SuiteSummary): Inline[] {
  const compared = summary.comparisons.filter(({ n }) => n > 0);
  const [first] = compared;
  if (first === undefined) {
    return ['No comparison: it takes two arms with a seed in common, both of whose runs ended well.'];
  }
  if (compared.length > MOST_SENTENCES) return [...countedVerdict(compared), ...fewSentence(compared)];
  if (compared.length > 1) return [...compared.flatMap((one) => oneOfSeveral(summary, one)), ...fewSentence(compared)];
  const few = first.n < MIN_PAIRS;
  return [
    `${armLabel(first.treatment)} `,
    ...clauses(summary, first),
    '; n = ',
    countFigure(first.n),
    ` paired seeds, medians of pairs with their ${few ? 'range' : '95 % interval'}.`,
    ...fewSentence(compared),
    ...splitSentence(first.quality, armLabel(first.treatment)),
  ];
}

function clauses(summary: SuiteSummary, comparison: Comparison): Inline[] {
  const parts = [memoryClause(summary, comparison), timeClause(summary, comparison), qualityClause(comparison)];
  const said = parts.filter((part) => part.length > 0);
  return said.flatMap((part, i) => [...(i === 0 ? [] : [i === said.length - 1 ? ', and ' : ', ']), ...part]);
}

function oneOfSeveral(summary: SuiteSummary, comparison: Comparison): Inline[] {
  const { treatment, case: name, n } = comparison;
  const label = groupLabel({ arm: treatment, case: name });
  return [`${label} `, ...clauses(summary, comparison), '; n = ', countFigure(n), ' pairs. '];
}

function fewSentence(compared: readonly Comparison[]): string[] {
  return compared.some(({ n }) => n < MIN_PAIRS)
    ? [` Fewer than ${MIN_PAIRS} pairs name no winner in time or quality.`]
    : [];
}

/** Counts winners where a sentence for each comparison would be a page. */
function countedVerdict(compared: readonly Comparison[]): Inline[] {
  const baselines = [...new Set(compared.map(({ baseline }) => armLabel(baseline)))].join(', ');
  const count = (metric: Metric, of: (comparison: Comparison, winner: string) => boolean): Figure =>
    countFigure(compared.filter((one) => one.paired[metric] && of(one, one.paired[metric].winner)).length);
  const tally = (metric: Metric, better: string, worse: string): Inline[] => [
    count(metric, ({ treatment }, winner) => winner === treatment),
    ` ${better}, `,
    count(metric, ({ baseline }, winner) => winner === baseline),
    ` ${worse}, `,
    count(metric, (_, winner) => winner === UNDECIDED),
    ' undecided',
  ];
  return [
    'Of ',
    countFigure(compared.length),
    ` comparisons with ${baselines}, `,
    ...tally('peak_memory_bytes', 'needed less peak memory', 'more'),
    '; ',
    ...tally('step_time_ms', 'took less time a step', 'more'),
    '; ',
    ...tally('eval_loss', 'ended at a lower evaluation loss', 'at a higher one'),
    '. The table below has each of them.',
  ];
}

function memoryClause(summary: SuiteSummary, comparison: Comparison): Inline[] {
  const change = relative(comparison.paired.peak_memory_bytes);
  if (change === null) return [];
  const than = ` peak memory than ${armLabel(comparison.baseline)}`;
  const sizes = medians(summary, comparison, 'peak_memory_bytes', bytesFigure);
  const open = change.undecided ? ['; undecided'] : [];
  return ['needed ', ...change.size, than, ' (', ...sizes, ...change.interval, ...open, ')'];
}

function timeClause(summary: SuiteSummary, comparison: Comparison): Inline[] {
  const change = relative(comparison.paired.step_time_ms);
  if (change === null) return [];
  const times = medians(summary, comparison, 'step_time_ms', msFigure);
  // the medians of the arms may then point the other way than the median of the pairs
  if (change.undecided) return ['had no proven difference in step time (', ...times, ...change.interval, ')'];
  return ['took ', ...change.size, ' time a step (', ...times, ...change.interval, ')'];
}

function qualityClause(comparison: Comparison): Inline[] {
  const paired = comparison.paired.eval_loss;
  if (paired === null) return [];
  const direction = paired.median_difference < 0 ? 'a lower' : 'a higher';
  return [
    paired.winner === UNDECIDED
      ? 'had no proven difference in final evaluation loss, '
      : `ended at ${direction} evaluation loss, difference `,
    signedLoss(paired.median_difference),
    ' (',
    ...range(paired.difference_ci95 ?? paired.difference_range, signedLoss),
    ')',
  ];
}

/** Splits the difference of the losses: a base that began lower is no merit of training. */
function splitSentence(quality: QualitySplit | null, label: string): Inline[] {
  if (quality === null) return [];
  const { before, gained } = quality;
  const size = (value: number): Figure => lossFigure(Math.abs(value));
  return [
    ` Before training its loss was `,
    size(before.median_difference),
    before.median_difference < 0 ? ' lower' : ' higher',
    ', which is what its base brings; training took ',
    size(gained.median_difference),
    `${gained.median_difference < 0 ? ' less' : ' more'} off ${label}`,
    ...(gained.rows === null ? [] : [' (standard error over rows ', lossFigure(gained.rows.stderr), ')']),
    '.',
  ];
}

/** `12.4 % more`, `; +12.1 % to +12.6 %` and whether the pairs decide it, from the paired ratio; null where there is none. */
function relative(paired: PairedSummary | null): { size: Inline[]; interval: Inline[]; undecided: boolean } | null {
  if (paired === null || paired.median_ratio === null) return null;
  const { median_ratio: ratio, ratio_ci95, ratio_range, winner } = paired;
  const spread = ratio_ci95 ?? ratio_range;
  const change = (value: number) => figure(value - 1, (v) => withSign(v, formatPercent));
  // memory repeats to the byte: its range has no width, and says nothing
  const hasWidth = spread !== null && spread[0] !== spread[1];
  return {
    size: [figure(Math.abs(ratio - 1), formatPercent), ratio < 1 ? ' less' : ' more'],
    interval: hasWidth ? ['; ', ...range(spread, change)] : [],
    undecided: winner === UNDECIDED,
  };
}

function range([low, high]: readonly [number, number], show: (value: number) => Figure): Inline[] {
  return [show(low), ' to ', show(high)];
}

/** `6.33 MiB against 7.01 MiB`: treatment first, as the sentence speaks of it. */
function medians(
  summary: SuiteSummary,
  { baseline, treatment, case: name }: Comparison,
  metric: Metric,
  show: (v: number | null) => Figure,
): Inline[] {
  const at = (arm: string): Figure => show(medianOf(summary, { arm, case: name }, metric));
  return [at(treatment), ' against ', at(baseline)];
}

const signedLoss = (value: number): Figure => figure(value, (v) => withSign(v, (x) => formatFixed(x, 4)));

/** Formats a loss to four decimals, as all of the report does. */
export const lossFigure = (value: number | null): Figure => fixedFigure(value, 4);
