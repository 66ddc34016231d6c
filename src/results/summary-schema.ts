/** The two files of a suite beside its runs: suite.json (what was run, in which order) and summary.json (the statistics). */
import { z } from 'zod';
import type { Better } from './paired.ts';
import { categoryBytesSchema, codeSchema } from './run-schema.ts';

/** Version of summary.json. 1 had bootstrap intervals, and winners at three seeds; 2 gained cases and more than one pair. */
export const SUMMARY_VERSION = 2;
/** Version of suite.json. 1 was written at a suite's end, and held the runs that had been made. */
export const MANIFEST_VERSION = 2;

/** What is compared between two arms, one number per run. */
export const METRICS = {
  peak_memory_bytes: metric('Peak memory', 'bytes', 'lower', 'bytes'),
  step_time_ms: metric('Step time, median of a run', 'ms', 'lower', 'speed', { of: 'ratio', value: 0.02 }),
  tokens_per_second: metric('Throughput', 'tokens/s', 'higher', 'speed', null, 'step_time_ms'),
  eval_loss: metric('Evaluation loss after training', 'nats/token', 'lower', 'quality', { of: 'value', value: 0.005 }),
  eval_loss_drop: metric('Drop of evaluation loss', 'nats/token', 'higher', 'quality', null, 'eval_loss'),
  perplexity: metric('Perplexity after training', '', 'lower', 'quality', null, 'eval_loss'),
};

/** Smallest difference that counts, as a share of the baseline or in the metric's unit: fewer mean nothing to a user. */
export type MinimumEffect = { readonly of: 'ratio' | 'value'; readonly value: number };

type MetricFacts = {
  readonly label: string;
  readonly unit: string;
  /** Which way a number is good, once for all tables. */
  readonly better: Better;
  readonly kind: 'bytes' | 'speed' | 'quality';
  readonly minimum: MinimumEffect | null;
  /** Metric that this one restates, and whose winner it shares; null where it is judged by itself. */
  readonly follows: string | null;
};

function metric<const F extends string | null = null>(
  label: string,
  unit: string,
  better: Better,
  kind: MetricFacts['kind'],
  minimum: MinimumEffect | null = null,
  follows: F = null as F,
) {
  return { label, unit, better, kind, minimum, follows } satisfies MetricFacts;
}

export type Metric = keyof typeof METRICS;
export const METRIC_NAMES = Object.keys(METRICS) as Metric[];

const name = z.string().min(1);
const count = z.int().nonnegative();
const bytes = z.int().nonnegative();
const interval = z.tuple([z.number(), z.number()]);
const runId = z.string().regex(/^[0-9a-f]{16}$/);

/** n values of one metric in one arm. */
const metricSummarySchema = z.strictObject({
  n: count,
  median: z.number(),
  /** Interval of the median by order statistics, whatever the distribution; null below six values. */
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
  /** Null in a suite without cases. */
  case: name.nullable(),
  /** Runs that ended well, and runs that did not; failed runs enter no statistic. */
  n: count,
  failed: count,
  metrics: metricsOf(metricSummarySchema.nullable()),
});
export type ArmSummary = z.infer<typeof armSummarySchema>;

/** Treatment minus baseline, and treatment over baseline, seed by seed; see PairedComparison for the fields it shares. */
const pairedSchema = z.strictObject({
  n: count,
  seeds: z.array(z.int()),
  differences: z.array(z.number()),
  median_difference: z.number(),
  difference_range: interval,
  difference_ci95: interval.nullable(),
  median_ratio: z.number().nullable(),
  ratio_range: interval.nullable(),
  ratio_ci95: interval.nullable(),
  repeats_exactly: z.boolean(),
  p_value: z.number().nullable(),
  /** p_value corrected for the noisy metrics that the headline names; null where nothing was tested. */
  p_holm: z.number().nullable(),
  minimum_effect: z.strictObject({ of: z.enum(['ratio', 'value']), value: z.number() }).nullable(),
  /** An arm's name, or `~`. */
  winner: name,
  /** Why there is no winner; empty where there is one. */
  undecided_because: z.array(z.string()),
});
export type PairedSummary = z.infer<typeof pairedSchema>;

/** Treatment minus baseline in nats per token, and what the evaluated rows leave uncertain of it. */
const lossDifferenceSchema = z.strictObject({
  /** Median over the paired seeds. */
  median_difference: z.number(),
  /** Mean over rows of the same runs, its standard error with a row as one observation; null where records lack rows. */
  rows: z.strictObject({ value: z.number(), stderr: z.number(), ci95: interval, rows: count }).nullable(),
});
export type LossDifference = z.infer<typeof lossDifferenceSchema>;

/** Quality in two parts: `before` is what quantizing cost before training, `gained` what training made of it. */
const qualitySplitSchema = z.strictObject({
  before: lossDifferenceSchema,
  gained: lossDifferenceSchema,
  after: lossDifferenceSchema,
});
export type QualitySplit = z.infer<typeof qualitySplitSchema>;

export const scaleUpSchema = z.strictObject({
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

const deviceStateSchema = z.strictObject({
  name,
  /** The next three by nvidia-smi; null where it is absent. */
  driver: z.string().nullable(),
  clocks_max: z.record(z.string(), z.number()).nullable(),
  power_limit: z.number().nullable(),
});
/** What has to stay the same from run to run of a suite. */
export type DeviceState = z.infer<typeof deviceStateSchema>;

const shardSchema = z.strictObject({ i: count, n: count });

const inputFileSchema = z.strictObject({
  /** Below the input's name; empty where that is the file. */
  path: z.string(),
  bytes,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const suiteInputSchema = z.strictObject({
  /** What suite.yaml and the records call it. In a published folder, a path in it where `from` is folder. */
  name,
  kind: z.enum(['model', 'adapter', 'rows', 'template']),
  /** nibble: comes with it, or is made by it; hub: by its name there; reader: to be had from `source`; folder: lies in it. */
  from: z.enum(['nibble', 'hub', 'reader', 'folder']),
  /** Where a reader has it from; null where nobody said. */
  source: z.string().nullable(),
  /** Empty for what comes from the hub, whose commit is in the records. */
  files: z.array(inputFileSchema),
});
/** A file or a folder that the runs of a suite read. */
export type SuiteInput = z.infer<typeof suiteInputSchema>;

const plannedRunSchema = z.strictObject({
  /** Null for a run that was not made yet. */
  run_id: runId.nullable(),
  plan_id: runId.optional(),
  arm: name,
  case: name.nullable().optional(),
  seed: z.int(),
  /** Null for a run that was not made yet. */
  status: name.nullable(),
  file: name,
  /** Shard that makes the run, from 1; absent in a suite that is not sharded. */
  shard: z.int().min(1).optional(),
});

/**
 * suite.json: what is asked, the command, and every run in its order (arms interleaved). Written before the first run and
 * after each, so that a suite that was stopped says what it lacks.
 */
export const suiteManifestSchema = z.strictObject({
  schema_version: z.union([z.literal(1), z.literal(MANIFEST_VERSION)]),
  suite: name,
  description: z.string().optional(),
  division: z.enum(['closed', 'open']).optional(),
  /** The arm that the others are held against; absent in version 1, whose baseline is `lora`. */
  baseline: name.optional(),
  created_at: z.iso.datetime(),
  command: z.array(z.string()),
  /** The nibble that began it, and what its runs read; absent in older folders, which cannot be repeated. */
  code: codeSchema.optional(),
  inputs: z.array(suiteInputSchema).optional(),
  /** Peaks that the plan gives for larger models; absent in older folders, whose summary.json has them. */
  estimates: scaleUpSchema.nullable().optional(),
  /** The device of the first run; null before it. */
  device: deviceStateSchema.nullable().optional(),
  /** Which part of the suite this folder is of, i from 1; null for the whole. */
  shard: shardSchema.nullable().optional(),
  /** Why the suite ended before its last run; null where it did not. */
  stopped: z.string().nullable().optional(),
  runs: z.array(plannedRunSchema),
});
export type SuiteManifest = z.infer<typeof suiteManifestSchema>;

/** One arm against another, pair by pair of runs of the same case and seed. */
const comparisonSchema = z.strictObject({
  baseline: name,
  treatment: name,
  /** Null in a suite without cases. */
  case: name.nullable(),
  n: count,
  paired: metricsOf(pairedSchema.nullable()),
  /** Null where an arm was not evaluated before and after. */
  quality: qualitySplitSchema.nullable(),
});
export type Comparison = z.infer<typeof comparisonSchema>;

/** summary.json: computed from suite.json and the run files, and again by every report. */
export const suiteSummarySchema = z.strictObject({
  schema_version: z.literal(SUMMARY_VERSION),
  suite: name,
  /** What the suite asks, in a sentence; empty where nobody said. */
  description: z.string(),
  /** Null where the runs are of no suite that says it. */
  division: z.enum(['closed', 'open']).nullable(),
  created_at: z.iso.datetime(),
  run_ids: z.array(runId),
  /** True as soon as one run was rendered in software. */
  software_rendered: z.boolean(),
  /** What a reader should know before believing a number: missing runs, unusual ones, records without a field. */
  notices: z.array(z.string()),
  /** One for each arm in each case. */
  arms: z.array(armSummarySchema),
  /** The first of `comparisons`, under its former name; null where there is none. */
  comparison: comparisonSchema.nullable(),
  /** Every other arm against the baseline, case by case. */
  comparisons: z.array(comparisonSchema),
  estimates: scaleUpSchema.nullable(),
});
export type SuiteSummary = z.infer<typeof suiteSummarySchema>;
