/** A suite as the quick suite would write it: two arms, three paired seeds, sizes of a tiny Llama. Values are invented. */
import { sha256OfText } from '../../src/node/environment.ts';
import { runIdOf } from '../../src/results/identity.ts';
import { type CategoryBytes, RUN_SCHEMA_ID, type RunRecord, totalBytes } from '../../src/results/run-schema.ts';
import { distribution } from '../../src/results/statistics.ts';
import { summarizeRuns } from '../../src/results/summarize.ts';
import type { ScaleUp, SuiteSummary } from '../../src/results/summary-schema.ts';

export const STEPS = 24;
const TOKENS_PER_STEP = 128;
const HASH = { weights: 'a'.repeat(64), config: 'b'.repeat(64), train: 'c'.repeat(64), eval: 'd'.repeat(64) };

/** Computes repeatable noise in [-1, 1]. */
const wobble = (...keys: number[]) =>
  Math.sin(keys.reduce((sum, key, i) => sum + key * (12.9898 + 65.233 * i), 1)) ** 3;

export const CATEGORIES: Record<'lora' | 'qlora', CategoryBytes> = {
  lora: {
    base_weights: 1_443_072,
    quant_state: 0,
    adapter: 294_912,
    gradients: 294_912,
    optimizer: 589_824,
    activations: 3_407_872,
    logits: 1_048_576,
    workspace: 196_608,
    kv_cache: 0,
    staging: 65_536,
    alignment: 5_120,
  },
  qlora: {
    base_weights: 561_664,
    quant_state: 7_421,
    adapter: 294_912,
    gradients: 294_912,
    optimizer: 589_824,
    activations: 3_407_872,
    logits: 1_048_576,
    workspace: 327_680,
    kv_cache: 0,
    staging: 65_536,
    alignment: 9_731,
  },
};

function historyOf(arm: 'lora' | 'qlora', seed: number, values: readonly number[]) {
  return values.map((stepMs, i) => ({
    step: i + 1,
    epoch: (i + 1) / STEPS,
    loss: 3.1 + 1.35 * Math.exp(-i / 7) + 0.09 * wobble(i, seed) + (arm === 'qlora' ? 0.02 : 0),
    learning_rate: 2e-4 * (1 - i / STEPS),
    grad_norm: 1.2 + 0.3 * wobble(seed, i),
    num_input_tokens_seen: (i + 1) * TOKENS_PER_STEP,
    step_time_ms: stepMs,
    memory_allocated: totalBytes(CATEGORIES[arm]),
  }));
}

function stepTimes(arm: 'lora' | 'qlora', seed: number): number[] {
  const base = arm === 'lora' ? 612 : 688;
  return Array.from({ length: STEPS }, (_, i) => base + 9 * seed + 21 * wobble(i + 3, seed) + (i === 11 ? 84 : 0));
}

function evalMetrics(loss: number) {
  return {
    eval_loss: { value: loss, stderr: 0.0213, n: 1023 },
    perplexity: Math.exp(loss),
    accuracy: null,
    forgetting: null,
  };
}

const EVAL_ROWS = 31;
const TOKENS_PER_ROW = 33;

/** 31 rows of 33 tokens around the given means: rows differ far more from each other than the arms do in a row. */
function rowLosses(arm: 'lora' | 'qlora', before: number, after: number) {
  const rows = Array.from(
    { length: EVAL_ROWS },
    (_, i) => 0.7 * wobble(i, 5) + (arm === 'qlora' ? 0.01 * wobble(i, 9) : 0),
  );
  const middle = rows.reduce((sum, value) => sum + value, 0) / EVAL_ROWS;
  const sums = (mean: number) => rows.map((value) => TOKENS_PER_ROW * (mean + value - middle));
  return { tokens: rows.map(() => TOKENS_PER_ROW), before: sums(before), after: sums(after) };
}

function trainInfo(arm: 'lora' | 'qlora', seed: number): RunRecord['train_info'] {
  const values = stepTimes(arm, seed);
  const trainSeconds = values.reduce((sum, ms) => sum + ms, 0) / 1000;
  const peak = totalBytes(CATEGORIES[arm]);
  return {
    num_trainable_params: 73_728,
    num_total_params: 795_264,
    file_size: 297_416,
    tier: 'direct',
    timing: {
      load_s: 0.21,
      quantize_s: arm === 'qlora' ? 0.034 : null,
      compile_s: 2.71 + 0.1 * seed,
      warmup_s: 0.64,
      train_s: trainSeconds,
      eval_s: 3.92,
      checkpoint_s: null,
      save_s: 0.011,
    },
    step_time_ms: distribution(values),
    excluded_warmup_steps: 1,
    throughput: {
      tokens_per_second: (STEPS * TOKENS_PER_STEP) / trainSeconds,
      loss_tokens_per_second: (STEPS * (TOKENS_PER_STEP - 1)) / trainSeconds,
      padded_tokens_per_second: (STEPS * TOKENS_PER_STEP) / trainSeconds,
      samples_per_second: STEPS / trainSeconds,
      steps_per_second: STEPS / trainSeconds,
    },
    memory: {
      source: ['ledger'],
      unit: 'bytes',
      allocated: { peak, avg: peak - 40_960.5, p99: peak },
      reserved: { peak, avg: peak, p99: peak },
      process_vram: null,
      device_vram: null,
      host_rss: { peak: 412_876_800 + 4096 * seed },
      by_category: CATEGORIES[arm],
      by_phase: [
        { phase: 'load', peak: CATEGORIES[arm].base_weights + 65_536 },
        { phase: 'micro', peak },
        { phase: 'update', peak: peak - 1_048_576 },
        { phase: 'eval', peak: peak - 655_360 },
      ],
      predicted: { total: peak, by_category: CATEGORIES[arm] },
      prediction_error_pct: 0,
      quantized_linears: arm === 'qlora' ? quantizedLinears() : null,
    },
    accelerator_memory_max: peak,
    accelerator_memory_reserved_avg: peak,
    accelerator_memory_reserved_99th: peak,
    history: historyOf(arm, seed, values),
  };
}

function quantizedLinears() {
  const elements = 96 * 96;
  const blocks = Math.ceil(elements / 64);
  const nested = 4 * Math.ceil(blocks / 256);
  const tensor = {
    name: 'model.layers.0.self_attn.q_proj.weight',
    elements,
    packed_bytes: elements / 2,
    absmax_bytes: blocks,
    nested_bytes: nested,
    offset_bytes: 4,
  };
  const tables = 64 + 1024;
  return {
    tensors: [tensor],
    code_tables_bytes: tables,
    formula_bytes: elements / 2 + blocks + nested + 4 + tables,
  };
}

function metaInfo(): RunRecord['meta_info'] {
  return {
    model_info: { id: 'bench/models/tiny', revision: null, sha256_of_weights: HASH.weights, config_sha: HASH.config },
    dataset_info: {
      train: { revision: '0.2.3', sha256: HASH.train, rows: 96 },
      eval: { revision: '0.2.3', sha256: HASH.eval, rows: 8 },
    },
    gpu: {
      vendor: 'google',
      architecture: 'swiftshader',
      device: 'SwiftShader Device (LLVM 16.0.6)',
      description: 'SwiftShader driver-5.0.0',
      driver: 'SwiftShader driver-5.0.0',
      isFallbackAdapter: true,
      software_rendered: true,
      features: ['timestamp-query', 'subgroups'],
      limits: { maxStorageBufferBindingSize: 1_073_741_824, maxComputeInvocationsPerWorkgroup: 256 },
      backend: 'vulkan',
      toggles: ['allow_unsafe_apis'],
      subgroup: { min: 4, max: 4 },
    },
    nvidia_smi: null,
    runtime: {
      node: '20.20.2',
      v8: '11.3.244.8',
      webgpu_npm: '0.6.2',
      dawn: null,
      os: 'linux x64',
      kernel: '6.1.0',
      container: null,
      cpu: 'A & B <CPU> @ 2.60GHz',
      cores: 2,
      ram: 8_589_934_592,
      env: { VK_ICD_FILENAMES: '/opt/swiftshader/vk_swiftshader_icd.json' },
    },
    package_info: { 'nibble-tune': '0.1.0', webgpu: '0.6.2' },
  };
}

/** Makes a successful run of an arm. */
export function makeRun(arm: 'lora' | 'qlora', seed: number): RunRecord {
  const train_config = { model_name_or_path: 'bench/models/tiny', lora_r: 8, max_steps: STEPS, seed };
  const before = 4.412 + 0.004 * seed + (arm === 'qlora' ? 0.031 : 0);
  const after = 3.287 + 0.011 * seed + (arm === 'qlora' ? 0.018 - 0.013 * seed : 0);
  return {
    schema: RUN_SCHEMA_ID,
    schema_version: 2,
    run_info: {
      run_id: runIdOf(
        {
          config: train_config,
          modelSha256: HASH.weights,
          dataSha256: { train: HASH.train },
          seed,
          arm,
        },
        sha256OfText,
      ),
      suite: 'quick',
      experiment_name: `${arm}-r8`,
      arm,
      replicate: seed,
      seed,
      created_at: `2026-11-23T10:${String(seed * 2 + (arm === 'lora' ? 0 : 1)).padStart(2, '0')}:00.000Z`,
      total_time: 29.4 + seed,
      status: 'success',
      error: null,
      command: ['nibble', 'bench', 'run', 'bench/suites/quick.yaml'],
      shard: null,
      code: {
        version: '0.1.0',
        git_commit: '0123456789abcdef0123456789abcdef01234567',
        git_branch: 'main',
        git_dirty: false,
        lockfile_sha256: 'e'.repeat(64),
      },
      division: 'closed',
      train_config,
      peft_config: { peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj', 'v_proj'] },
      quantization_config:
        arm === 'lora'
          ? null
          : {
              load_in_4bit: true,
              bnb_4bit_quant_type: 'nf4',
              bnb_4bit_use_double_quant: true,
              bnb_4bit_compute_dtype: 'float32',
              bnb_4bit_quant_storage: 'uint8',
              llm_int8_skip_modules: ['lm_head'],
            },
    },
    train_info: trainInfo(arm, seed),
    eval_info: {
      metrics_before: evalMetrics(before),
      metrics: evalMetrics(after),
      row_losses: rowLosses(arm, before, after),
      data_hashes: { train: HASH.train, eval: HASH.eval, chat_template: null, tokenizer: 'f'.repeat(64) },
      per_sample_path: null,
      time_to_target: null,
    },
    meta_info: metaInfo(),
    numerics: { deterministic: true, weight_sha256_after: '9'.repeat(64), repeat_check: null },
  };
}

/** Makes the runs of a suite, interleaved as it runs them: A B, B A, A B. */
export function makeRuns(seeds: readonly number[] = [0, 1, 2]): RunRecord[] {
  return seeds.flatMap((seed) =>
    (seed % 2 === 0 ? (['lora', 'qlora'] as const) : (['qlora', 'lora'] as const)).map((arm) => makeRun(arm, seed)),
  );
}

const SIZES = [
  { name: '1B', params: 1_235_814_400, linears: 973_078_528, adapter: 11_272_192, activations: 1.1e9 },
  { name: '7B', params: 6_738_415_616, linears: 6_476_005_376, adapter: 39_976_960, activations: 2.3e9 },
  { name: '13B', params: 13_015_864_320, linears: 12_687_769_600, adapter: 62_586_880, activations: 3.4e9 },
  { name: '65B', params: 65_285_660_672, linears: 64_760_053_760, adapter: 199_884_800, activations: 8.9e9 },
] as const;

function predictedBytes(size: (typeof SIZES)[number], method: 'lora' | 'qlora' | 'full'): CategoryBytes {
  const quantized = method === 'qlora' ? size.linears : 0;
  const trained = method === 'full' ? size.params : size.adapter;
  return {
    base_weights: (size.params - quantized) * 2 + Math.ceil(quantized / 2),
    quant_state: Math.ceil(quantized * 0.0159),
    adapter: method === 'full' ? 0 : trained * 4,
    gradients: trained * 4,
    optimizer: trained * 8,
    activations: size.activations,
    logits: 131_072_000,
    workspace: quantized === 0 ? 67_108_864 : 247_463_936,
    kv_cache: 0,
    staging: 16_777_216,
    alignment: 81_920,
  };
}

export function makeEstimates(): ScaleUp {
  return {
    device_profile: 'generic-gpu',
    assumptions: ['batch 1 x 512 tokens', 'rank 16 on all linears', 'float16 base, float32 adapter and AdamW moments'],
    models: SIZES.map((size) => ({
      name: size.name,
      num_total_params: size.params,
      predictions: (['lora', 'qlora', 'full'] as const).map((method) => {
        const by_category = predictedBytes(size, method);
        return { method, peak: totalBytes(by_category), by_category };
      }),
    })),
  };
}

export function makeSummary(runs: readonly RunRecord[], estimates: ScaleUp | null = makeEstimates()): SuiteSummary {
  return summarizeRuns(runs, { suite: 'quick', createdAt: '2026-11-23T10:06:00.000Z', estimates });
}
