/**
 * Runs in the columns of ibm-research/LLMFineTuningBench that its card and its preview show, those of processors apart. A column that
 * nibble does not measure is empty, and `fms_hf_tuning_version` with it: another program made these runs.
 */
import type { RunRecord } from '../../results/run-schema.ts';
import { tokensPerMicroStep } from '../../results/tokens-fit.ts';
import { type Column, type CsvValue, formatCsv } from '../csv.ts';

const NOT_MEASURED = (): CsvValue => null;
const unmeasured = (names: string): Column[] => names.split(' ').map((name) => [name, NOT_MEASURED]);

const COLUMNS: readonly Column[] = [
  ['identifier', ({ run_info }) => run_info.run_id],
  ['experiment_id', ({ run_info }) => run_info.experiment_name],
  ['method', methodOf],
  ['model_name', ({ meta_info }) => meta_info.model_info.id],
  ['number_nodes', () => 1],
  ['gpu_model', ({ meta_info }) => meta_info.gpu?.description ?? null],
  ['number_gpus', ({ meta_info }) => (meta_info.gpu === null || meta_info.gpu.software_rendered ? 0 : 1)],
  ['tokens_per_sample', ({ run_info }) => numberOf(run_info.train_config.max_length)],
  ['batch_size', batchOf],
  ['enable_roce', () => false],
  ...unmeasured('fast_moe fast_kernels fms_hf_tuning_version'),
  ...unmeasured(
    'gpu_memory_utilization_avg gpu_memory_utilization_min gpu_memory_utilization_peak gpu_memory_utilization_max',
  ),
  ...unmeasured('gpu_compute_utilization_avg gpu_compute_utilization_min gpu_compute_utilization_max'),
  ['is_valid', ({ run_info }) => (run_info.status === 'success' ? 1 : 0)],
  ['train_tokens_per_second', ({ train_info }) => train_info.throughput.padded_tokens_per_second],
  ['train_samples_per_second', ({ train_info }) => train_info.throughput.samples_per_second],
  ['model_load_time', ({ train_info: { timing } }) => sumOf(timing.load_s, timing.quantize_s)],
  ['train_runtime', ({ train_info }) => train_info.timing.train_s],
  ['train_steps_per_second', ({ train_info }) => train_info.throughput.steps_per_second],
  ...unmeasured('gpu_power_watts_avg gpu_power_watts_min gpu_power_watts_max'),
  ...unmeasured('gpu_power_percent_avg gpu_power_percent_min gpu_power_percent_max'),
  ['torch_dtype', ({ run_info }) => textOf(run_info.train_config.compute_dtype)],
  ['dataset_tokens_per_second', ({ train_info }) => train_info.throughput.tokens_per_second],
  ['train_tokens_per_gpu_per_second', ({ train_info }) => train_info.throughput.padded_tokens_per_second],
  // beside theirs, without which nobody could tell seeds, arms or losses apart
  ['seed', ({ run_info }) => run_info.seed],
  ['arm', ({ run_info }) => run_info.arm],
  ['case', ({ run_info }) => run_info.case ?? null],
  ['tokens_per_micro_step', tokensPerMicroStep],
  ['peak_memory_bytes', ({ train_info }) => train_info.memory?.allocated.peak ?? null],
  ['eval_loss', ({ eval_info }) => eval_info.metrics?.eval_loss.value ?? null],
];

/** Formats a row for each run, failed ones included. */
export function ibmCsv(runs: readonly RunRecord[]): string {
  return formatCsv(COLUMNS, runs);
}

/** `full`, `lora`, and `qlora-nf4` or `qlora-fp4` for a 4-bit base. */
function methodOf({ run_info: { peft_config, quantization_config } }: RunRecord): string {
  if (peft_config === null) return 'full';
  return quantization_config === null ? 'lora' : `qlora-${quantization_config.bnb_4bit_quant_type}`;
}

function batchOf({ run_info: { train_config } }: RunRecord): number | null {
  const rows = numberOf(train_config.per_device_train_batch_size);
  return rows === null ? null : rows * (numberOf(train_config.gradient_accumulation_steps) ?? 1);
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);
const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const sumOf = (a: number | null, b: number | null): number | null =>
  a === null && b === null ? null : (a ?? 0) + (b ?? 0);
