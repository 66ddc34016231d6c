/** Builds the record of a run (run.json) from what training returned. */

import { formatLoraConfig } from '../adapters/config.ts';
import type { TrainConfig } from '../config/settings.ts';
import { baseQuantization } from '../estimate/base-quantization.ts';
import { quantizedLinears } from '../estimate/estimate.ts';
import type { Estimate, QuantizedLinears } from '../estimate/types.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import { runIdOf } from '../results/identity.ts';
import { RUN_SCHEMA_ID, type RunRecord, SCHEMA_VERSION } from '../results/run-schema.ts';
import { sealed } from '../results/seal.ts';
import { distribution } from '../results/statistics.ts';
import type { EvalResult } from '../train/events.ts';
import { countedSteps } from '../train/non-finite.ts';
import type { TrainResult } from '../train/run.ts';
import type { RunInput } from '../train/session.ts';
import { runTiers } from '../train/tiers.ts';
import { type CodeInfo, sha256OfText } from './environment.ts';
import type { Material } from './material.ts';
import type { Measured } from './measure.ts';
import type { RunPlace } from './run-types.ts';

/** The part of a run that does not depend on how it ends. */
type RunBasis = {
  readonly place: RunPlace;
  /** Settings with paths as they were given: absolute ones would publish somebody's home directory. */
  readonly config: TrainConfig;
  readonly material: Material;
  readonly createdAt: string;
  readonly totalSeconds: number;
  readonly code: CodeInfo;
};

export type RunContext = RunBasis & {
  readonly meta: RunRecord['meta_info'];
  readonly adapterBytes: number | null;
  readonly adapterSha256: string | null;
  readonly predicted: Estimate;
  /** Seconds before training began, and after it ended. */
  readonly startup: { readonly startup_s: number; readonly hash_s: number; readonly measure_s: number };
  readonly measured: Measured;
};

/** Steps at the start that step times leave out: the first one still fills caches. */
const EXCLUDED_WARMUP_STEPS = 1;

/** Rows whose losses a record holds: 20,000 make about a megabyte. */
const MOST_RECORDED_ROWS = 20_000;

/** Builds the record of a run that reached its end; losses that are not finite become null and make it `diverged`. */
export function runRecord(ctx: RunContext, input: RunInput, result: TrainResult): RunRecord {
  const counted = countedSteps(result.steps, input.config.on_nan === 'skip');
  const finite = counted.length > 0 && counted.every((s) => Number.isFinite(s.loss));
  const record = {
    schema: RUN_SCHEMA_ID,
    schema_version: SCHEMA_VERSION,
    run_info: {
      ...basicRunInfo(ctx),
      status: finite ? ('success' as const) : ('diverged' as const),
      error: null,
      peft_config: peftConfig(ctx, input),
      quantization_config: quantizationConfig(input),
    },
    train_info: trainInfo(ctx, input, result),
    eval_info: {
      metrics_before: result.evalBefore && evalMetrics(result.evalBefore),
      metrics: result.evalAfter && evalMetrics(result.evalAfter),
      row_losses: rowLosses(result),
      ...(result.sampled.length > 0 && { samples: [...result.sampled] }),
      data_hashes: ctx.material.dataHashes,
      per_sample_path: null,
      time_to_target: timeToTarget(ctx.place.target ?? null, result),
    },
    meta_info: ctx.meta,
    numerics: { deterministic: null, weight_sha256_after: ctx.adapterSha256, repeat_check: null },
  } satisfies RunRecord;
  return sealed(record, sha256OfText);
}

type Outcome = 'status' | 'error' | 'peft_config' | 'quantization_config';

/**
 * Identity of a run: equal settings, weights and rows give an equal one, on any machine. What a device settles (the compute
 * dtype) is part of it, so that the identity of what was asked for can be another than that of what was made of it.
 */
export function identityOf(
  { arm, case: name = null }: Pick<RunPlace, 'arm' | 'case'>,
  config: TrainConfig,
  { modelInfo, dataHashes, initialAdapterSha256 }: Material,
): string {
  // a run's identity depends on the content of files, not on where they lie
  const { output_dir, model_name_or_path, datasets, eval_datasets, adapter_name_or_path, ...withHow } = config;
  // nor on how many times it took, on what was said of it, where its log went, and how much of the state lay where
  const { resume_from_checkpoint, max_minutes, strict, report_to, logging_dir, paged_optimizer_memory, ...withNames } =
    withHow;
  // nor on the names of what was read
  const { model_revision, offline, base_on_hub, ...withWhich } = withNames;
  const { dataset_config, dataset_train_split, dataset_test_split, ...withMeasures } = withWhich;
  // nor on what was measured beside; the template's hash is among the data's
  const { measure_quantization_error, ...settings } = withMeasures;
  const identity = {
    config: { ...settings, chat_template_path: null, initial_adapter: initialAdapterSha256 },
    modelSha256: modelInfo.sha256_of_weights,
    dataSha256: dataHashes,
    seed: config.seed,
    arm,
  };
  return runIdOf(name === null ? identity : { ...identity, case: name }, sha256OfText);
}

/** Builds the part of run_info that does not depend on how the run ends. */
export function basicRunInfo({ place, config, material, ...basis }: RunBasis): Omit<RunRecord['run_info'], Outcome> {
  const { suite, arm, case: name = null, replicate, division, command, shard = null, planId = null } = place;
  return {
    run_id: identityOf(place, config, material),
    plan_id: planId,
    suite,
    experiment_name: name === null ? `${suite}/${arm}` : `${suite}/${name}/${arm}`,
    arm,
    case: name,
    replicate,
    seed: config.seed,
    created_at: basis.createdAt,
    total_time: basis.totalSeconds,
    command: [...command],
    shard: shard === null ? null : { ...shard },
    code: basis.code,
    division,
    train_config: JSON.parse(JSON.stringify({ ...config, ...place.names })),
  };
}

/** The first evaluation at or below the target, by the time its steps took and the samples they saw; null without one. */
function timeToTarget(
  target: RunPlace['target'],
  { evaluations, steps }: TrainResult,
): RunRecord['eval_info']['time_to_target'] {
  const reached = target ? evaluations.find(({ result }) => result.evalLoss <= target.eval_loss) : undefined;
  if (!target || reached === undefined) return null;
  const before = steps.filter(({ step }) => step <= reached.step);
  return {
    metric: 'eval_loss',
    target: target.eval_loss,
    seconds: before.reduce((sum, { stepMs }) => sum + stepMs, 0) / 1000,
    samples: before.reduce((sum, { samples }) => sum + samples, 0),
  };
}

function peftConfig(
  { config, place: { names } }: RunContext,
  { layout: { lora } }: RunInput,
): RunRecord['run_info']['peft_config'] {
  if (lora === null) return null;
  const base_model_name_or_path = names?.model_name_or_path ?? config.model_name_or_path;
  return { ...JSON.parse(formatLoraConfig(lora.config)), base_model_name_or_path };
}

/** Quantization that the base really has: a checkpoint that was quantized before overrides the settings. */
function quantizationConfig({ config, layout }: RunInput): RunRecord['run_info']['quantization_config'] {
  const base = baseQuantization(layout);
  if (base === null) return null;
  const { bnb_4bit_compute_dtype, bnb_4bit_quant_storage, llm_int8_skip_modules } = config;
  return {
    load_in_4bit: true,
    bnb_4bit_quant_type: base.quantType,
    bnb_4bit_use_double_quant: base.doubleQuant,
    bnb_4bit_compute_dtype,
    bnb_4bit_quant_storage,
    llm_int8_skip_modules,
  };
}

function trainInfo(ctx: RunContext, input: RunInput, result: TrainResult): RunRecord['train_info'] {
  const { steps, timing } = result;
  const { ledger, kernels } = ctx.measured;
  const timed = steps.slice(EXCLUDED_WARMUP_STEPS);
  const seconds = timed.reduce((sum, s) => sum + s.stepMs, 0) / 1000;
  const perSecond = (of: (s: (typeof timed)[number]) => number): number | null =>
    seconds > 0 ? timed.reduce((sum, s) => sum + of(s), 0) / seconds : null;
  const { peak } = ledger;
  const { profile } = result.engine.machine;
  let tokens = 0;
  const seen = (step: (typeof steps)[number]): number => {
    tokens += step.tokens;
    return tokens;
  };
  const { attention, lora } = runTiers(profile, input.config, input.layout.spec.config.head_dim);
  return {
    num_trainable_params: result.trainableParams,
    num_total_params: result.allParams,
    file_size: ctx.adapterBytes,
    tier: profile.tier,
    attention_tier: attention.tier,
    ...(lora && { lora_products: lora }),
    ...pagingInfo(result),
    timing: wholeTiming(ctx, timing),
    step_time_ms: timed.length > 0 ? distribution(timed.map((s) => s.stepMs)) : null,
    excluded_warmup_steps: EXCLUDED_WARMUP_STEPS,
    throughput: {
      tokens_per_micro_step: mean(timed.map((step) => tokensPerMicroStep(step, input.config))),
      tokens_per_second: perSecond((s) => s.tokens),
      loss_tokens_per_second: perSecond((s) => s.lossTokens),
      padded_tokens_per_second: perSecond((s) => s.paddedTokens),
      samples_per_second: perSecond((s) => s.samples),
      steps_per_second: perSecond(() => 1),
    },
    compute: computeInfo(ctx.measured, result),
    ...(kernels && { kernel_times: { source: kernels.source, times: [...kernels.times] } }),
    memory: memoryInfo(ctx, result),
    ...quantizationError(result),
    accelerator_memory_max: peak.peakBytes,
    accelerator_memory_reserved_avg: null,
    accelerator_memory_reserved_99th: null,
    ...(steps.some((s) => s.lossScale !== null || !s.finite)
      ? { skipped_steps: steps.filter((s) => !s.finite).length }
      : {}),
    ...checkpointInfo(result),
    history: steps.map((s) => ({
      step: s.step,
      epoch: s.epoch,
      loss: finiteOrNull(s.loss),
      learning_rate: s.learningRate,
      grad_norm: finiteOrNull(s.gradNorm),
      ...(s.lossScale === null ? {} : { loss_scale: s.lossScale }),
      num_input_tokens_seen: seen(s),
      tokens_per_micro_step: tokensPerMicroStep(s, input.config),
      step_time_ms: s.stepMs,
      memory_allocated: ledger.currentBytes,
    })),
  };
}

/** Nothing where it was not asked for, or nothing was quantized by this process. */
function quantizationError({ engine, quantErrors }: TrainResult): Pick<RunRecord['train_info'], 'quantization_error'> {
  if (quantErrors.size === 0) return {};
  const { weights } = engine.declared;
  return {
    quantization_error: [...quantErrors].map(([name, { rmse, cosine }]) => {
      const weight = weights.get(name)!;
      return { name, elements: weight.out * weight.in, rmse, cosine };
    }),
  };
}

/** Nothing where all state stayed on the GPU. */
function pagingInfo({ engine }: TrainResult): Pick<RunRecord['train_info'], 'paging'> {
  const { pager } = engine.state;
  if (pager === null) return {};
  const { toGpuBytes, toHostBytes, copyMs, waitMs } = pager.traffic;
  return {
    paging: {
      host_bytes: pager.hostBytes,
      pages: pager.pages.length,
      to_gpu_bytes: toGpuBytes,
      to_host_bytes: toHostBytes,
      copy_s: copyMs / 1000,
      wait_s: waitMs / 1000,
    },
  };
}

/** All timers of a run, which add up to its time: what is in none of them is in other_s. */
function wholeTiming(
  { startup, totalSeconds }: RunContext,
  timing: TrainResult['timing'],
): RunRecord['train_info']['timing'] {
  const { quantize_busy_s, compile_overlapped_s, ...disjoint } = { ...startup, ...timing };
  const timed = Object.values(disjoint).reduce((sum, seconds) => sum + seconds, 0);
  return { ...disjoint, other_s: Math.max(0, totalSeconds - timed), quantize_busy_s, compile_overlapped_s };
}

/** Tokens of a micro-batch, padding included: a step has one short micro-batch at most. */
function tokensPerMicroStep(
  { paddedTokens, samples }: TrainResult['steps'][number],
  { per_device_train_batch_size: rows }: TrainConfig,
): number {
  return paddedTokens / Math.ceil(samples / rows);
}

/** Rates of the steps of this process: those of an earlier one are not in its counts. */
function computeInfo({ work, peak }: Measured, { steps, resumedAt }: TrainResult): RunRecord['train_info']['compute'] {
  const seconds = steps.slice(resumedAt.at(-1) ?? 0).reduce((sum, { stepMs }) => sum + stepMs, 0) / 1000;
  const tflops = seconds > 0 ? work.flops / seconds / 1e12 : null;
  return {
    flops_per_micro_step: work.microSteps > 0 ? work.flops / work.microSteps : null,
    tflops,
    peak,
    share_of_peak: tflops === null || peak === null ? null : tflops / peak.tflops,
  };
}

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

/** Nothing of a run that saved no checkpoint. */
function checkpointInfo({ checkpoints, best, resumedAt }: TrainResult): Pick<RunRecord['train_info'], 'checkpoints'> {
  if (checkpoints.length === 0 && resumedAt.length === 0) return {};
  const { metric, step, checkpoint } = best;
  return {
    checkpoints: {
      saved: checkpoints.map((saved) => ({ ...saved })),
      best: metric === null ? null : { metric: finiteOrNull(metric), step, checkpoint },
      resumed_at: [...resumedAt],
    },
  };
}

const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** How each figure of memory was come by, as records name it. */
const LEDGER = 'ledger: every GPUBuffer of the process, by label and category';
const PROCESS = 'host_rss: getrusage, the most that the process had; of a software driver the GPU buffers are in it';
const DRIVER = 'process_vram, device_vram: nvidia-smi, before the first allocation and after the last step';

function driverMemory(
  driver: Measured['driver'],
): Pick<NonNullable<RunRecord['train_info']['memory']>, 'process_vram' | 'device_vram'> {
  if (driver === null) return { process_vram: null, device_vram: null };
  const { before, after } = driver;
  const { processBytes } = after;
  return {
    process_vram: processBytes === null ? null : { peak: processBytes, method: 'nvidia-smi --query-compute-apps' },
    device_vram: { peak: after.usedBytes, method: 'nvidia-smi, total less free', baseline: before.usedBytes },
  };
}

function memoryInfo({ predicted, measured }: RunContext, { engine }: TrainResult): RunRecord['train_info']['memory'] {
  const { peak, phasePeaks } = measured.ledger;
  const linears = quantizedLinears(engine.declared);
  return {
    source: [LEDGER, PROCESS, ...(measured.driver === null ? [] : [DRIVER])],
    unit: 'bytes',
    allocated: { peak: peak.peakBytes, avg: null, p99: null },
    reserved: { peak: null, avg: null, p99: null },
    ...driverMemory(measured.driver),
    host_rss: { peak: process.resourceUsage().maxRSS * 1024 },
    by_category: copyOf(peak.byCategory),
    by_phase: phasePeaks.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
    predicted: { total: predicted.peakBytes, by_category: copyOf(predicted.byCategory) },
    prediction_error_pct: (100 * (predicted.peakBytes - peak.peakBytes)) / peak.peakBytes,
    quantized_linears: linears && quantizedRecord(linears),
  };
}

const copyOf = (bytes: CategoryBytes): CategoryBytes => ({ ...bytes });

function quantizedRecord({ tensors, codeTablesBytes, formulaBytes }: QuantizedLinears) {
  return {
    tensors: tensors.map((t) => ({
      name: t.name,
      elements: t.elements,
      packed_bytes: t.packedBytes,
      absmax_bytes: t.absmaxBytes,
      nested_bytes: t.nestedBytes,
      offset_bytes: t.offsetBytes,
    })),
    code_tables_bytes: codeTablesBytes,
    formula_bytes: formulaBytes,
  };
}

/** Losses of single rows; null without evaluation, and for more rows than a record should hold. */
function rowLosses({ evalBefore, evalAfter }: TrainResult): RunRecord['eval_info']['row_losses'] {
  const tokens = (evalAfter ?? evalBefore)?.rows.tokens;
  if (tokens === undefined || tokens.length > MOST_RECORDED_ROWS) return null;
  return { tokens, before: evalBefore?.rows.sums ?? null, after: evalAfter?.rows.sums ?? null };
}

function evalMetrics({
  evalLoss,
  perplexity,
  stderr,
  lossTokens,
}: EvalResult): NonNullable<RunRecord['eval_info']['metrics']> {
  return { eval_loss: { value: evalLoss, stderr, n: lossTokens }, perplexity, accuracy: null, forgetting: null };
}
