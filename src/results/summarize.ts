/** Summarizes the runs of a suite as its summary.json: from the run files alone, so that every report can do it again. */
import { judge } from './judge.ts';
import { comparePairs, type SeededValue } from './paired.ts';
import { qualitySplit } from './quality-split.ts';
import type { RunRecord } from './run-schema.ts';
import { speedObstacles, unusualRuns } from './speed-conditions.ts';
import { summarizeValues } from './statistics.ts';
import { type Metric, type QualitySplit, type ScaleUp, SUMMARY_VERSION, type SuiteSummary } from './summary-schema.ts';

const READ: Record<Metric, (run: RunRecord) => number | null | undefined> = {
  peak_memory_bytes: (run) => run.train_info.memory?.allocated.peak,
  step_time_ms: (run) => run.train_info.step_time_ms?.p50,
  tokens_per_second: (run) => run.train_info.throughput.tokens_per_second,
  eval_loss: (run) => run.eval_info.metrics?.eval_loss.value,
  eval_loss_drop: (run) => {
    const { metrics_before: before, metrics: after } = run.eval_info;
    return before === null || after === null ? null : before.eval_loss.value - after.eval_loss.value;
  },
  perplexity: (run) => run.eval_info.metrics?.perplexity,
};

/** Reads one metric of one run, in the unit of METRICS; null where it was not measured. */
export function metricOf(run: RunRecord, metric: Metric): number | null {
  return READ[metric](run) ?? null;
}

export type SummarizeOptions = {
  readonly suite: string;
  readonly createdAt: string;
  /** The arm that differences and ratios are taken against; `lora` unless said otherwise. */
  readonly baseline?: string;
  readonly treatment?: string;
  readonly estimates?: ScaleUp | null;
  /** What the reader of the files noticed, before the runs' own. */
  readonly notices?: readonly string[];
};

/** Computes medians by arm, and the paired comparison where both arms are there. Failed runs are only counted. */
export function summarizeRuns(runs: readonly RunRecord[], options: SummarizeOptions): SuiteSummary {
  const { suite, createdAt, baseline = 'lora', treatment = 'qlora', estimates = null, notices = [] } = options;
  const arms = [...new Set(runs.map((run) => run.run_info.arm))];
  const good = (arm: string) => runs.filter((run) => run.run_info.arm === arm && run.run_info.status === 'success');
  const isCompared = arms.includes(baseline) && arms.includes(treatment);
  return {
    schema_version: SUMMARY_VERSION,
    suite,
    created_at: createdAt,
    run_ids: runs.map((run) => run.run_info.run_id),
    software_rendered: runs.some((run) => run.meta_info.gpu?.software_rendered === true),
    notices: [...notices, ...noticesOf(arms, runs)],
    arms: arms.map((arm) => ({
      arm,
      n: good(arm).length,
      failed: runs.filter((run) => run.run_info.arm === arm).length - good(arm).length,
      metrics: perMetric((metric) => summarizeValues(seededValues(good(arm), metric).map(({ value }) => value))),
    })),
    comparison: isCompared ? compareArms({ baseline, treatment }, good(baseline), good(treatment)) : null,
    estimates,
  };
}

/** Compares two arms by the seeds that both have: every metric, its winner or why there is none, and quality in two parts. */
export function compareArms(
  arms: { readonly baseline: string; readonly treatment: string },
  baseline: readonly RunRecord[],
  treatment: readonly RunRecord[],
): NonNullable<SuiteSummary['comparison']> {
  const pairs = pairRuns(baseline, treatment);
  const quality = qualitySplit(pairs);
  const compared = perMetric((metric) => comparePairs(seededValues(baseline, metric), seededValues(treatment, metric)));
  const material = materialObstacles(pairs);
  const obstacles = {
    speed: [...material, ...speedObstacles(pairs.flat())],
    quality: [...material, ...qualityObstacles(quality)],
  };
  return { ...arms, n: pairs.length, paired: judge(arms, compared, obstacles), quality };
}

/** Arms that started from other weights or saw other rows differ in more than what is compared. */
function materialObstacles(pairs: readonly (readonly [RunRecord, RunRecord])[]): string[] {
  const differs = (of: (run: RunRecord) => string | null): boolean => pairs.some(([a, b]) => of(a) !== of(b));
  return [
    ...(differs((run) => run.meta_info.model_info.sha256_of_weights) ? ['the arms had other weights'] : []),
    ...(differs((run) => run.eval_info.data_hashes.train) ? ['the arms had other training rows'] : []),
    ...(differs((run) => run.eval_info.data_hashes.eval) ? ['the arms had other evaluation rows'] : []),
  ];
}

/** The seeds' difference has to stand out of what other rows might have shown, where the records tell of rows. */
function qualityObstacles(quality: QualitySplit | null): string[] {
  const rows = quality?.after.rows ?? null;
  if (rows === null) return [];
  const [low, high] = rows.ci95;
  return low > 0 || high < 0
    ? []
    : [`the ${rows.rows} evaluated rows leave ${low.toFixed(4)} to ${high.toFixed(4)} open`];
}

function noticesOf(arms: readonly string[], runs: readonly RunRecord[]): string[] {
  const evaluated = runs.filter((run) => run.eval_info.metrics !== null);
  const withoutRows = evaluated.filter((run) => run.eval_info.row_losses === undefined).length;
  const unusual = arms.flatMap((arm) =>
    unusualRuns(
      arm,
      runs.filter((run) => run.run_info.arm === arm && run.run_info.status === 'success'),
    ),
  );
  if (withoutRows === 0) return unusual;
  return [
    ...unusual,
    `${withoutRows} of ${runs.length} records lack the losses of single rows: what is said of quality holds for these rows alone`,
  ];
}

/** Reads a metric of runs by seed, leaving out runs that did not measure it. */
export function seededValues(runs: readonly RunRecord[], metric: Metric): SeededValue[] {
  return runs.flatMap((run) => {
    const value = metricOf(run, metric);
    return value === null ? [] : [{ seed: run.run_info.seed, value }];
  });
}

function pairRuns(baseline: readonly RunRecord[], treatment: readonly RunRecord[]): [RunRecord, RunRecord][] {
  const bySeed = new Map(treatment.map((run) => [run.run_info.seed, run]));
  return baseline.flatMap((run): [RunRecord, RunRecord][] => {
    const partner = bySeed.get(run.run_info.seed);
    return partner === undefined ? [] : [[run, partner]];
  });
}

function perMetric<T>(of: (metric: Metric) => T): Record<Metric, T> {
  return {
    peak_memory_bytes: of('peak_memory_bytes'),
    step_time_ms: of('step_time_ms'),
    tokens_per_second: of('tokens_per_second'),
    eval_loss: of('eval_loss'),
    eval_loss_drop: of('eval_loss_drop'),
    perplexity: of('perplexity'),
  };
}
