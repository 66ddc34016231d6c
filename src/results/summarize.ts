/** Summarizes the runs of a suite as its summary.json. */
import { type RunRecord, SCHEMA_VERSION } from './run-schema.ts';
import { BOOTSTRAP, comparePaired, type SeededValue, summarizeValues } from './statistics.ts';
import { METRICS, type Metric, type ScaleUp, type SuiteSummary } from './summary-schema.ts';

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
};

/** Computes medians by arm, and the paired comparison where both arms are there. Failed runs are only counted. */
export function summarizeRuns(runs: readonly RunRecord[], options: SummarizeOptions): SuiteSummary {
  const { suite, createdAt, baseline = 'lora', treatment = 'qlora', estimates = null } = options;
  const arms = [...new Set(runs.map((run) => run.run_info.arm))];
  const good = (arm: string) => runs.filter((run) => run.run_info.arm === arm && run.run_info.status === 'success');
  const seeded = (arm: string, metric: Metric) => seededValues(good(arm), metric);
  const paired = (metric: Metric) =>
    comparePaired({ baseline, treatment }, METRICS[metric].better, seeded(baseline, metric), seeded(treatment, metric));
  return {
    schema_version: SCHEMA_VERSION,
    suite,
    created_at: createdAt,
    run_ids: runs.map((run) => run.run_info.run_id),
    software_rendered: runs.some((run) => run.meta_info.gpu?.software_rendered === true),
    bootstrap: { ...BOOTSTRAP },
    arms: arms.map((arm) => ({
      arm,
      n: good(arm).length,
      failed: runs.filter((run) => run.run_info.arm === arm).length - good(arm).length,
      metrics: perMetric((metric) => summarizeValues(seeded(arm, metric).map(({ value }) => value))),
    })),
    comparison:
      arms.includes(baseline) && arms.includes(treatment)
        ? { baseline, treatment, n: pairCount(good(baseline), good(treatment)), paired: perMetric(paired) }
        : null,
    estimates,
  };
}

/** Reads a metric of runs by seed, leaving out runs that did not measure it. */
export function seededValues(runs: readonly RunRecord[], metric: Metric): SeededValue[] {
  return runs.flatMap((run) => {
    const value = metricOf(run, metric);
    return value === null ? [] : [{ seed: run.run_info.seed, value }];
  });
}

function pairCount(baseline: readonly RunRecord[], treatment: readonly RunRecord[]): number {
  const seeds = new Set(treatment.map((run) => run.run_info.seed));
  return baseline.filter((run) => seeds.has(run.run_info.seed)).length;
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
