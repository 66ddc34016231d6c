/**
 * Schema v2 of one benchmark run: one JSON file per run (one arm, one seed, one case).
 * Names are snake_case because they extend the result files of PEFT's method comparison.
 * What was not measured is null, never 0 and never absent.
 */
import { z } from 'zod';
import { CATEGORIES } from '../gpu/category.ts';

/** Stands in every run file; a reader refuses what it does not know. */
export const RUN_SCHEMA_ID = 'nibble-tune/schemas/run.schema.json';
export const SCHEMA_VERSION = 2;
/** Versions that are read. 1 had no cases and no hash. */
export const READ_VERSIONS: readonly number[] = [1, SCHEMA_VERSION];
const version = z.union([z.literal(1), z.literal(SCHEMA_VERSION)]);

/** The ledger's categories in the order reports stack them. Alignment is padding, in a row of its own. */
export const MEMORY_CATEGORIES = [...CATEGORIES, 'alignment'] as const;
export type MemoryCategory = (typeof MEMORY_CATEGORIES)[number];

const name = z.string().min(1);
const count = z.int().nonnegative();
const bytes = z.int().nonnegative();
const seconds = z.number().nonnegative();
const measured = z.number().nullable();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/**
 * Bytes by category. A record from before a category was known reads as 0 there; that no row was forgotten is what the sum over
 * them says.
 */
export function categoryBytesOf<C extends string>(categories: readonly C[]) {
  const row = bytes.default(0);
  return z.strictObject(Object.fromEntries(categories.map((category) => [category, row])) as Record<C, typeof row>);
}
export const categoryBytesSchema = categoryBytesOf(MEMORY_CATEGORIES);
export type CategoryBytes = z.infer<typeof categoryBytesSchema>;

/** Sum over the rows, in bytes. */
export function totalBytes(categories: CategoryBytes): number {
  return MEMORY_CATEGORIES.reduce((sum, category) => sum + categories[category], 0);
}

export const codeSchema = z.strictObject({
  version: name,
  git_commit: z.string().nullable(),
  git_branch: z.string().nullable(),
  git_dirty: z.boolean().nullable(),
  lockfile_sha256: sha256.nullable(),
});

const quantizationSchema = z.strictObject({
  load_in_4bit: z.boolean(),
  bnb_4bit_quant_type: z.enum(['nf4', 'fp4', 'int4']),
  bnb_4bit_use_double_quant: z.boolean(),
  bnb_4bit_compute_dtype: name,
  bnb_4bit_quant_storage: name,
  llm_int8_skip_modules: z.array(z.string()).nullable(),
});

const runInfoSchema = z.strictObject({
  run_id: z.string().regex(/^[0-9a-f]{16}$/),
  /** Identity of what a suite asked for, before the device settled anything; null outside a suite. */
  plan_id: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .nullable()
    .optional(),
  suite: name,
  experiment_name: name,
  arm: name,
  /** Settings that arms share and other cases do not; arms are compared within a case. Null in a suite without cases. */
  case: name.nullable().optional(),
  replicate: count,
  seed: count,
  created_at: z.iso.datetime(),
  total_time: seconds.nullable(),
  status: z.enum(['success', 'oom', 'diverged', 'error', 'canceled', 'timeout']),
  error: z.strictObject({ kind: name, message: z.string(), stack: z.string().nullable() }).nullable(),
  command: z.array(z.string()),
  shard: z.strictObject({ i: count, n: count }).nullable(),
  code: codeSchema,
  division: z.enum(['closed', 'open']),
  train_config: z.record(z.string(), z.json()),
  peft_config: z.record(z.string(), z.json()).nullable(),
  quantization_config: quantizationSchema.nullable(),
});

/**
 * Disjoint wall-clock seconds, but for the last two. Where other_s is given they add up to total_time; older records lack it, and
 * the two before it.
 */
const timingSchema = z.strictObject({
  /** From the start of the process, or of the call, to the first allocation on the GPU, hashing left out. */
  startup_s: seconds.nullable().optional(),
  /** Reading model and data for their hashes. */
  hash_s: seconds.nullable().optional(),
  load_s: seconds.nullable(),
  quantize_s: seconds.nullable(),
  compile_s: seconds.nullable(),
  warmup_s: seconds.nullable(),
  train_s: seconds.nullable(),
  eval_s: seconds.nullable(),
  checkpoint_s: seconds.nullable(),
  save_s: seconds.nullable(),
  /** Profiling a step and the device's peak. */
  measure_s: seconds.nullable().optional(),
  /** What no other timer has: logs, pages, hashing the adapter, waiting between phases. */
  other_s: seconds.nullable().optional(),
  /** Time that the quantizer's threads worked, together, while weights were loaded. */
  quantize_busy_s: seconds.nullable().optional(),
  /** Compiling took so much of the time in load_s and quantize_s; compile_s is what it took beyond. */
  compile_overlapped_s: seconds.nullable().optional(),
});

const stepTimeSchema = z.strictObject({
  values: z.array(z.number()).nullable(),
  count,
  mean: z.number(),
  sd: measured,
  p50: z.number(),
  p90: z.number(),
  p95: z.number(),
  p99: z.number(),
  min: z.number(),
  max: z.number(),
});

const throughputSchema = z.strictObject({
  /** Tokens of a micro-batch, padding included; the mean of the timed steps. Absent in older records. */
  tokens_per_micro_step: measured.optional(),
  tokens_per_second: measured,
  loss_tokens_per_second: measured,
  padded_tokens_per_second: measured,
  samples_per_second: measured,
  steps_per_second: measured,
});

const quantizedLinearsSchema = z.strictObject({
  tensors: z.array(
    z.strictObject({
      name,
      elements: count,
      packed_bytes: bytes,
      absmax_bytes: bytes,
      nested_bytes: bytes,
      offset_bytes: bytes,
    }),
  ),
  code_tables_bytes: bytes,
  /** The sum that the format's formula gives for these tensors, code tables once; independent of what was allocated. */
  formula_bytes: bytes,
});

const memorySchema = z.strictObject({
  source: z.array(z.string()),
  unit: z.literal('bytes'),
  /** Live buffer bytes by the ledger, updated at every create and destroy: a true peak. */
  allocated: z.strictObject({ peak: bytes, avg: measured, p99: measured }),
  /** With pooled free buffers. */
  reserved: z.strictObject({ peak: bytes.nullable(), avg: measured, p99: measured }),
  process_vram: z.strictObject({ peak: bytes, method: name }).nullable(),
  device_vram: z.strictObject({ peak: bytes, method: name, baseline: bytes }).nullable(),
  host_rss: z.strictObject({ peak: bytes }).nullable(),
  /** Live bytes at the moment of allocated.peak; the rows sum to it. */
  by_category: categoryBytesSchema,
  by_phase: z.array(z.strictObject({ phase: name, peak: bytes })),
  predicted: z.strictObject({ total: bytes, by_category: categoryBytesSchema }).nullable(),
  prediction_error_pct: measured,
  quantized_linears: quantizedLinearsSchema.nullable(),
});

/** Rate of the useful operations of products and attention, those that checkpointing does again among them. */
const computeSchema = z.strictObject({
  /** Operations of a micro-batch by its plan, the mean over all. */
  flops_per_micro_step: measured,
  tflops: measured,
  /** What the same machine reached with one large product; null where it was not asked for. */
  peak: z.strictObject({ tflops: z.number().positive(), probe: name }).nullable(),
  share_of_peak: measured,
});

/** GPU time of one micro-batch and one update by kernel. */
const kernelTimesSchema = z.strictObject({
  /** Whose clock it is. */
  source: name,
  times: z.array(z.strictObject({ kernel: name, dispatches: count, ms: z.number().nonnegative(), share: z.number() })),
});

const historyRowSchema = z.strictObject({
  step: count,
  epoch: measured,
  loss: measured,
  learning_rate: measured,
  grad_norm: measured,
  /** What the loss was multiplied with before backward; absent where gradients are not scaled. */
  loss_scale: measured.optional(),
  num_input_tokens_seen: count.nullable(),
  /** Padding included; the mean over the step's micro-batches. Absent in older records. */
  tokens_per_micro_step: measured.optional(),
  step_time_ms: measured,
  memory_allocated: bytes.nullable(),
});

const tierSchema = z.enum(['direct', 'simt', 'subgroup_matrix']);

/** Paging of an optimizer's state: the steps of this process, those of a run it went on with apart. */
const pagingSchema = z.strictObject({
  host_bytes: bytes,
  pages: count,
  to_gpu_bytes: bytes,
  to_host_bytes: bytes,
  /** Seconds of the host in copies, and in waiting for a window on the GPU, the GPU's own work included. */
  copy_s: z.number().min(0),
  wait_s: z.number().min(0),
});

const trainInfoSchema = z.strictObject({
  num_trainable_params: count.nullable(),
  num_total_params: count.nullable(),
  file_size: bytes.nullable(),
  tier: tierSchema.nullable(),
  /** The tier of attention's kernels; absent in results of other libraries. */
  attention_tier: tierSchema.optional(),
  /** How LoRA's products were computed, and in what; absent without LoRA. */
  lora_products: z
    .strictObject({
      forward: z.enum(['folded', 'separate']),
      backward: z.enum(['folded', 'separate']),
      operands: z.enum(['float32', 'float16']),
    })
    .optional(),
  /** What of a paged optimizer's state lay in host memory, and what its coming and going took; absent where none did. */
  paging: pagingSchema.optional(),
  timing: timingSchema,
  step_time_ms: stepTimeSchema.nullable(),
  excluded_warmup_steps: count.nullable(),
  throughput: throughputSchema,
  /**
   * Of each weight that was quantized while loading, against what the checkpoint holds: root mean squared error in the
   * weights' unit, and cosine between the weights before and after. Absent where it was not asked for.
   */
  quantization_error: z
    .array(z.strictObject({ name, elements: count, rmse: z.number().nonnegative(), cosine: z.number() }))
    .optional(),
  /** Absent in older records, and in those of other libraries. */
  compute: computeSchema.optional(),
  /** Absent where no step was profiled. */
  kernel_times: kernelTimesSchema.optional(),
  memory: memorySchema.nullable(),
  accelerator_memory_max: measured,
  accelerator_memory_reserved_avg: measured,
  accelerator_memory_reserved_99th: measured,
  /** Steps whose update was skipped, for an overflow or by on_nan; absent where gradients are not scaled and none was. */
  skipped_steps: count.optional(),
  /** Absent where none was saved. */
  checkpoints: z
    .strictObject({
      /** In order; those that save_total_limit deleted later included. */
      saved: z.array(z.strictObject({ step: count, seconds })),
      /** The best evaluation, where evaluations were compared, and the folder of its checkpoint. */
      best: z.strictObject({ metric: measured, step: count.nullable(), checkpoint: z.string().nullable() }).nullable(),
      /** Steps from which another process went on. */
      resumed_at: z.array(count),
    })
    .optional(),
  history: z.array(historyRowSchema),
});

/** Means over n loss tokens; stderr null where it was not estimated. */
const evalMetricsSchema = z.strictObject({
  eval_loss: z.strictObject({ value: z.number(), stderr: measured, n: count }),
  perplexity: z.number(),
  accuracy: z
    .strictObject({ value: z.number(), ci95: z.tuple([z.number(), z.number()]), n: count, method: name })
    .nullable(),
  forgetting: z.strictObject({ before: z.number(), after: z.number(), delta: z.number() }).nullable(),
});

const evalInfoSchema = z.strictObject({
  /** Before the first update: the base model with a fresh adapter. */
  metrics_before: evalMetricsSchema.nullable(),
  /** After the last update. */
  metrics: evalMetricsSchema.nullable(),
  /**
   * Nats and predicted tokens of each evaluated row, in order, so that a report can tell rows from chance. Absent in
   * records from before it was kept; null without evaluation, or above the number of rows that a record holds.
   */
  row_losses: z
    .strictObject({
      tokens: z.array(count),
      before: z.array(z.number()).nullable(),
      after: z.array(z.number()).nullable(),
    })
    .nullable()
    .optional(),
  /** Prompts of eval_generate with what the model wrote after them, before the first update and at the end; absent without. */
  samples: z
    .array(z.strictObject({ prompt: z.string(), before: z.string().nullable(), after: z.string().nullable() }))
    .optional(),
  data_hashes: z.strictObject({
    train: sha256,
    eval: sha256.nullable(),
    chat_template: sha256.nullable(),
    tokenizer: sha256.nullable(),
  }),
  per_sample_path: z.string().nullable(),
  time_to_target: z.strictObject({ metric: name, target: z.number(), seconds, samples: count }).nullable(),
});

const gpuSchema = z.strictObject({
  vendor: z.string(),
  architecture: z.string(),
  device: z.string(),
  description: z.string(),
  driver: z.string().nullable(),
  isFallbackAdapter: z.boolean(),
  /** True when a CPU driver (lavapipe, SwiftShader) did the work: its times say nothing about a GPU. */
  software_rendered: z.boolean(),
  features: z.array(z.string()),
  limits: z.record(z.string(), z.number()),
  backend: z.string(),
  toggles: z.array(z.string()),
  subgroup: z.strictObject({ min: count, max: count }).nullable(),
});

const nvidiaSmiSchema = z.strictObject({
  driver_version: name,
  vbios: z.string().nullable(),
  clocks: z.record(z.string(), z.number()).nullable(),
  /** The highest that the GPU may reach; absent in older records. */
  clocks_max: z.record(z.string(), z.number()).nullable().optional(),
  /** `clocks` right after training, before the GPU idles. */
  clocks_after_training: z.record(z.string(), z.number()).nullable().optional(),
  power_limit: measured,
  persistence: z.boolean().nullable(),
  mig: z.boolean().nullable(),
  other_processes: z.array(z.string()),
});

const runtimeSchema = z.strictObject({
  /** Null where another runtime did the work, as in the runs of bench/peers. */
  node: name.nullable(),
  v8: name.nullable(),
  webgpu_npm: z.string().nullable(),
  dawn: z.string().nullable(),
  os: name,
  kernel: name,
  container: z.string().nullable(),
  cpu: z.string(),
  cores: count,
  ram: bytes,
  /** Share of all processors' time that other programs took while this run trained; absent where it is not known. */
  other_cpu_share: z.number().min(0).max(1).optional(),
  env: z.record(z.string(), z.string()),
});

const metaInfoSchema = z.strictObject({
  model_info: z.strictObject({
    id: name,
    revision: z.string().nullable(),
    sha256_of_weights: sha256,
    config_sha: sha256,
  }),
  dataset_info: z.record(
    z.string(),
    z.strictObject({ revision: z.string().nullable(), sha256, rows: count.nullable() }),
  ),
  gpu: gpuSchema.nullable(),
  nvidia_smi: nvidiaSmiSchema.nullable(),
  runtime: runtimeSchema,
  package_info: z.record(z.string(), z.string()),
});

const numericsSchema = z.strictObject({
  deterministic: z.boolean().nullable(),
  weight_sha256_after: sha256.nullable(),
  repeat_check: z.strictObject({ step: count, bitwise_equal: z.boolean() }).nullable(),
});

/** The shape of a run file, without the checks across fields (JSON Schema cannot carry those). */
export const runShape = z.strictObject({
  schema: z.literal(RUN_SCHEMA_ID),
  schema_version: version,
  /** Over the record without this field, so that an edit is noticed; absent in schema 1 and in records of peers. */
  record_sha256: sha256.optional(),
  run_info: runInfoSchema,
  train_info: trainInfoSchema,
  eval_info: evalInfoSchema,
  meta_info: metaInfoSchema,
  numerics: numericsSchema,
});
export type RunRecord = z.infer<typeof runShape>;

/** A run file as readers must accept it: the shape, and the sums that have to hold in it. */
export const runSchema = runShape.superRefine((run, context) => {
  for (const problem of inconsistencies(run)) {
    context.addIssue({ code: 'custom', path: [...problem.path], message: problem.message });
  }
});

type Inconsistency = { readonly path: readonly string[]; readonly message: string };

// The timers are disjoint parts of total_time; a millisecond covers the rounding of nine clock reads.
const TIMER_SLACK_S = 1e-3;
/** Share of a run's time that its timers may leave out, where they claim to add up. */
const MOST_UNTIMED = 0.01;

function inconsistencies(run: RunRecord): Inconsistency[] {
  const found: Inconsistency[] = [];
  const { timing, memory } = run.train_info;
  const { quantize_busy_s, compile_overlapped_s, ...disjoint } = timing;
  const timed = Object.values(disjoint).reduce((sum: number, part) => sum + (part ?? 0), 0);
  const total = run.run_info.total_time;
  if (total !== null && timed > total + TIMER_SLACK_S) {
    found.push({
      path: ['train_info', 'timing'],
      message: `timers overlap: they sum to ${timed} s, the run took ${total} s; time each phase once`,
    });
  }
  const isWhole = total !== null && typeof timing.other_s === 'number';
  if (isWhole && timed < total * (1 - MOST_UNTIMED)) {
    found.push({
      path: ['train_info', 'timing'],
      message: `timers sum to ${timed} s, the run took ${total} s; other_s holds what no other timer has`,
    });
  }
  if (memory === null) return found;
  const rows = totalBytes(memory.by_category);
  if (rows !== memory.allocated.peak) {
    found.push({
      path: ['train_info', 'memory', 'by_category'],
      message: `rows sum to ${rows} bytes, allocated.peak is ${memory.allocated.peak}; snapshot the ledger at its peak`,
    });
  }
  const { predicted } = memory;
  if (predicted !== null && totalBytes(predicted.by_category) !== predicted.total) {
    found.push({
      path: ['train_info', 'memory', 'predicted', 'by_category'],
      message: `rows sum to ${totalBytes(predicted.by_category)} bytes, predicted.total is ${predicted.total}`,
    });
  }
  return found;
}

/** The JSON Schema of a run file, as the package ships it under schemas/. */
export function runJsonSchema(): Record<string, unknown> {
  return { $id: RUN_SCHEMA_ID, title: 'nibble benchmark run, v2', ...z.toJSONSchema(runShape, { io: 'input' }) };
}
