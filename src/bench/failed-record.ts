/** The record of a run that failed: its settings, its machine and its error, with no measurement. */
import path from 'node:path';
import { codeInfo, nvidiaSmi, runtimeInfo, sha256OfText } from '../node/environment.ts';
import { nodeReader } from '../node/files.ts';
import { readMaterial } from '../node/material.ts';
import { packageVersions } from '../node/package-root.ts';
import { basicRunInfo } from '../node/record.ts';
import { RUN_SCHEMA_ID, type RunRecord, SCHEMA_VERSION } from '../results/run-schema.ts';
import { sealed } from '../results/seal.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { STOPPED_BY_LOSS } from '../train/non-finite.ts';
import type { RunJob } from './job.ts';
import { privateRoots, withoutPrivate } from './private-paths.ts';

export type RunFailure = {
  /** Class of the error, such as DeviceError. */
  readonly kind: string;
  readonly message: string;
  /** Null for errors that the user can mend. */
  readonly stack: string | null;
};

/** Builds the record; `createdAt` and `totalSeconds` are those of the attempt. */
export async function failedRecord(
  job: RunJob,
  failure: RunFailure,
  { createdAt, totalSeconds }: { readonly createdAt: string; readonly totalSeconds: number },
): Promise<RunRecord> {
  const { values } = await withAdapterSettings(job.config, nodeReader).catch(() => job.config);
  const material = await readMaterial(values);
  const attempt = { createdAt, totalSeconds, code: await codeInfo() };
  const basis = basicRunInfo({ place: job, config: values, material, ...attempt });
  const peft = values.method === 'full' ? null : { peft_type: 'LORA', r: values.lora_r, lora_alpha: values.lora_alpha };
  const record: RunRecord = {
    schema: RUN_SCHEMA_ID,
    schema_version: SCHEMA_VERSION,
    run_info: {
      ...basis,
      status: statusOf(failure),
      error: publicFailure(failure, path.dirname(job.recordFile)),
      peft_config: peft,
      quantization_config: null,
    },
    train_info: NOTHING_MEASURED,
    eval_info: {
      metrics_before: null,
      metrics: null,
      data_hashes: material.dataHashes,
      per_sample_path: null,
      time_to_target: null,
    },
    meta_info: {
      model_info: material.modelInfo,
      dataset_info: material.datasetInfo,
      gpu: null,
      nvidia_smi: await nvidiaSmi(),
      runtime: runtimeInfo(),
      package_info: packageVersions(),
    },
    numerics: { deterministic: null, weight_sha256_after: null, repeat_check: null },
  };
  return sealed(record, sha256OfText);
}

/** Without paths of this machine, since records are published. */
function publicFailure({ kind, message, stack }: RunFailure, folder: string): RunRecord['run_info']['error'] {
  const known = (text: string): string => withoutPrivate(text, privateRoots(folder));
  return { kind, message: known(message), stack: stack === null ? null : known(stack) };
}

function statusOf({ message }: RunFailure): 'oom' | 'diverged' | 'error' {
  if (/\bout of memory\b/i.test(message)) return 'oom';
  return STOPPED_BY_LOSS.test(message) ? 'diverged' : 'error';
}

const NOTHING_MEASURED: RunRecord['train_info'] = {
  num_trainable_params: null,
  num_total_params: null,
  file_size: null,
  tier: null,
  timing: {
    load_s: null,
    quantize_s: null,
    compile_s: null,
    warmup_s: null,
    train_s: null,
    eval_s: null,
    checkpoint_s: null,
    save_s: null,
  },
  step_time_ms: null,
  excluded_warmup_steps: null,
  throughput: {
    tokens_per_second: null,
    loss_tokens_per_second: null,
    padded_tokens_per_second: null,
    samples_per_second: null,
    steps_per_second: null,
  },
  memory: null,
  accelerator_memory_max: null,
  accelerator_memory_reserved_avg: null,
  accelerator_memory_reserved_99th: null,
  history: [],
};
