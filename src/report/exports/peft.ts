/**
 * Runs as the result files of PEFT's method comparison, a file each. What PEFT measures and nibble does not is null: accuracy on its
 * task, forgetting on its articles. Its reserved memory is what nibble's ledger holds, since nothing is cached beside it.
 */
import { mean } from 'simple-statistics';
import { caseOf } from '../../results/groups.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import { quantile } from '../../results/statistics.ts';

type Json = Readonly<Record<string, unknown>>;

/** Packages whose versions PEFT's tables have. */
const THEIR_PACKAGES = ['transformers', 'datasets', 'peft', 'torch', 'bitsandbytes'];

/** The files by their names: METHOD--EXPERIMENT.json. */
export function peftFiles(runs: readonly RunRecord[]): ReadonlyMap<string, string> {
  return new Map(
    runs.map((run) => {
      const [method, name] = experimentOf(run);
      return [`${method}--${name}.json`, `${JSON.stringify(peftResult(run), null, 2)}\n`];
    }),
  );
}

function experimentOf(run: RunRecord): [method: string, name: string] {
  const { arm, seed, peft_config } = run.run_info;
  const name = caseOf(run);
  return [peft_config === null ? 'full-finetuning' : 'lora', `${arm}${name === null ? '' : `@${name}`}-seed${seed}`];
}

/** One run in PEFT's shape. */
export function peftResult(run: RunRecord): Json {
  const { run_info, train_info, meta_info } = run;
  const held = train_info.history.flatMap(({ memory_allocated }) => memory_allocated ?? []);
  const [reservedAvg, reserved99] =
    held.length === 0 ? [null, null] : [mean(held), quantile(held, 0.99)].map(Math.round);
  return {
    run_info: {
      created_at: run_info.created_at,
      total_time: run_info.total_time,
      experiment_name: experimentOf(run).join('/'),
      peft_branch: run_info.code.git_branch ?? `nibble ${run_info.code.version}`,
      peft_worktree_is_dirty: run_info.code.git_dirty,
      train_config: trainConfig(run),
      peft_config: run_info.peft_config,
      error_msg: run_info.error?.message ?? '',
    },
    train_info: {
      accelerator_memory_reserved_avg: train_info.accelerator_memory_reserved_avg ?? reservedAvg,
      accelerator_memory_max: train_info.accelerator_memory_max,
      accelerator_memory_reserved_99th: train_info.accelerator_memory_reserved_99th ?? reserved99,
      train_time: train_info.timing.train_s,
      file_size: train_info.file_size,
      num_trainable_params: train_info.num_trainable_params,
      num_total_params: train_info.num_total_params,
      status: statusOf(run),
      metrics: run_info.status === 'success' ? [lastMetrics(run)] : [],
    },
    meta_info: {
      model_info: { sha: meta_info.model_info.revision ?? meta_info.model_info.sha256_of_weights, created_at: null },
      dataset_info: Object.fromEntries(
        Object.entries(meta_info.dataset_info).map(([name, { revision, sha256 }]) => [
          name,
          { sha: revision ?? sha256, created_at: null },
        ]),
      ),
      package_info: packagesOf(run),
      system_info: {
        system: meta_info.runtime.os.split(' ')[0],
        release: meta_info.runtime.kernel,
        version: null,
        machine: meta_info.runtime.os.split(' ')[1] ?? null,
        processor: meta_info.runtime.cpu,
        accelerator: meta_info.gpu?.description ?? null,
      },
      pytorch_info: `nibble ${run_info.code.version} through WebGPU ${meta_info.runtime.webgpu_npm ?? ''}`.trim(),
    },
  };
}

function statusOf({ run_info: { status } }: RunRecord): 'success' | 'failed' | 'canceled' {
  if (status === 'success') return status;
  // as PEFT does for runs that had no memory left
  return status === 'canceled' || status === 'oom' ? 'canceled' : 'failed';
}

function trainConfig({ run_info: { train_config: c, quantization_config } }: RunRecord): Json {
  return {
    model_id: c.model_name_or_path,
    dtype: quantization_config === null ? c.dtype : 'int4',
    max_seq_length: c.max_length,
    batch_size: c.per_device_train_batch_size,
    batch_size_eval: c.per_device_eval_batch_size,
    max_steps: c.max_steps,
    eval_steps: c.eval_steps ?? null,
    compile: false,
    use_gc: c.gradient_checkpointing,
    query_template: null,
    seed: c.seed,
    grad_norm_clip: c.max_grad_norm,
    optimizer_type: c.optim,
    optimizer_kwargs: { lr: c.learning_rate, weight_decay: c.weight_decay },
    lr_scheduler: c.lr_scheduler_type,
    use_amp: false,
    autocast_adapter_dtype: true,
    generation_kwargs: {},
    attn_implementation: null,
    init_kv_cache_prefix: null,
  };
}

function lastMetrics({ train_info: { history, throughput }, eval_info }: RunRecord): Json {
  const { samples_per_second: samples, steps_per_second: steps } = throughput;
  return {
    step: history.length,
    'test accuracy': eval_info.metrics?.accuracy?.value ?? null,
    'train loss': history.at(-1)?.loss ?? null,
    'train samples': samples === null || !steps ? null : Math.round((history.length * samples) / steps),
    'train total tokens': history.at(-1)?.num_input_tokens_seen ?? null,
    forgetting: eval_info.metrics?.forgetting?.delta ?? null,
    // beside PEFT's own: what nibble's suites compare
    'eval loss': eval_info.metrics?.eval_loss.value ?? null,
  };
}

function packagesOf({ run_info: { code }, meta_info: { package_info } }: RunRecord): Json {
  const theirs = THEIR_PACKAGES.map((name) => [`${name}-version`, package_info[name] ?? null]);
  return {
    ...Object.fromEntries(theirs),
    'nibble-version': code.version,
    'nibble-commit-hash': code.git_commit,
    'webgpu-version': package_info.webgpu ?? null,
  };
}
