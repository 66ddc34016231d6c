/** The two files of a suite beside its runs: suite.json (what was run, in which order) and summary.json (the statistics). */
import { z } from 'zod';
import { categoryBytesSchema, SCHEMA_VERSION } from './run-schema.ts';

/**
 * What is compared between two arms, one number per run. `better` says which way a number is good, once for all tables.
 */
export const METRICS = {
  peak_memory_bytes: { label: 'Peak memory', unit: 'bytes', better: 'lower' },
  step_time_ms: { label: 'Step time, median of a run', unit: 'ms', better: 'lower' },
  tokens_per_second: { label: 'Throughput', unit: 'tokens/s', better: 'higher' },
  eval_loss: { label: 'Evaluation loss after training', unit: 'nats/token', better: 'lower' },
  eval_loss_drop: { label: 'Drop of evaluation loss', unit: 'nats/token', better: 'higher' },
  perplexity: { label: 'Perplexity after training', unit: '', better: 'lower' },
} as const;
export type Metric = keyof typeof METRICS;
export const METRIC_NAMES = Object.keys(METRICS) as Metric[];

const name = z.string().min(1);
const count = z.int().nonnegative();
const bytes = z.int().nonnegative();
const interval = z.tuple([z.number(), z.number()]);
const runId = z.string().regex(/^[0-9a-f]{16}$/);

/** suite.json: the runs in the order they ran (arms interleaved), and the command that ran them. */
export const suiteManifestSchema = z.strictObject({
  schema_version: z.literal(SCHEMA_VERSION),
  suite: name,
  created_at: z.iso.datetime(),
  command: z.array(z.string()),
  runs: z.array(z.strictObject({ run_id: runId, arm: name, seed: z.int(), status: name, file: name })),
});
export type SuiteManifest = z.infer<typeof suiteManifestSchema>;

/** n values of one metric in one arm; ci95 and sd are null where n is 1. */
const metricSummarySchema = z.strictObject({
  n: count,
  median: z.number(),
  ci95: interval.nullable(),
  mean: z.number(),
  sd: z.number().nullable(),
  min: z.number(),
  max: z.number(),
});

const metricsOf = <T extends z.ZodType>(entry: T) =>
  z.strictObject({
    peak_memory_bytes: entry,
    step_time_ms: entry,
    tokens_per_second: entry,
    eval_loss: entry,
    eval_loss_drop: entry,
    perplexity: entry,
  });

const armSummarySchema = z.strictObject({
  arm: name,
  /** Runs that ended well, and runs that did not; failed runs enter no statistic. */
  n: count,
  failed: count,
  metrics: metricsOf(metricSummarySchema.nullable()),
});
export type ArmSummary = z.infer<typeof armSummarySchema>;

/** Treatment minus baseline, and treatment over baseline, seed by seed. */
const pairedSchema = z.strictObject({
  n: count,
  seeds: z.array(z.int()),
  differences: z.array(z.number()),
  median_difference: z.number(),
  difference_ci95: interval.nullable(),
  /** Null where a baseline is 0 or below, as a drop of loss can be. */
  median_ratio: z.number().nullable(),
  ratio_ci95: interval.nullable(),
  /** An arm's name, or `~`: fewer than three pairs, or an interval that holds zero. */
  winner: name,
});
export type PairedSummary = z.infer<typeof pairedSchema>;

const scaleUpSchema = z.strictObject({
  device_profile: name,
  /** A statement for each of batch, sequence length, rank, targets, optimizer, dtypes, checkpointing. */
  assumptions: z.array(z.string()),
  models: z.array(
    z.strictObject({
      name,
      num_total_params: count,
      predictions: z.array(
        z.strictObject({ method: z.enum(['lora', 'qlora', 'full']), peak: bytes, by_category: categoryBytesSchema }),
      ),
    }),
  ),
});
export type ScaleUp = z.infer<typeof scaleUpSchema>;

/** summary.json: all but the estimates can be computed again from the run files. */
export const suiteSummarySchema = z.strictObject({
  schema_version: z.literal(SCHEMA_VERSION),
  suite: name,
  created_at: z.iso.datetime(),
  run_ids: z.array(runId),
  /** True as soon as one run was rendered in software. */
  software_rendered: z.boolean(),
  bootstrap: z.strictObject({ resamples: count, seed: z.int() }),
  arms: z.array(armSummarySchema),
  comparison: z
    .strictObject({ baseline: name, treatment: name, n: count, paired: metricsOf(pairedSchema.nullable()) })
    .nullable(),
  estimates: scaleUpSchema.nullable(),
});
export type SuiteSummary = z.infer<typeof suiteSummarySchema>;
