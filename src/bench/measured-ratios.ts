/** What records say of QLoRA beside LoRA: time and memory at their tokens a micro-step. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { median } from 'simple-statistics';
import { DataError } from '../errors.ts';
import type { MeasuredRatio } from '../estimate/time-ratios.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { readRun, runFilesIn } from './read-runs.ts';

/** Folders below one that hold results are looked for so deep: results/NAME and results/local/NAME. */
const DEPTH = 2;

/**
 * Reads the records in a folder, or in the folders below it. @returns nothing for a folder that holds none
 * @throws DataError for a record that cannot be read
 */
export async function measuredRatios(folder: string): Promise<MeasuredRatio[]> {
  const found: MeasuredRatio[] = [];
  for (const one of await foldersIn(folder, DEPTH)) {
    const files = await runFilesIn(one).catch((error: unknown) => {
      if (error instanceof DataError) return [];
      throw error;
    });
    for (const ratio of ratiosOf(one, await Promise.all(files.map(readRun)))) found.push(ratio);
  }
  return found;
}

async function foldersIn(folder: string, depth: number): Promise<string[]> {
  if (depth === 0) return [folder];
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const inner = entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(folder, name));
  return [folder, ...(await Promise.all(inner.map((one) => foldersIn(one, depth - 1)))).flat()];
}

/** A ratio for each model, device and micro-step that LoRA and QLoRA were both measured with. */
export function ratiosOf(source: string, records: readonly RunRecord[]): MeasuredRatio[] {
  const groups = new Map<string, RunRecord[]>();
  for (const record of records.filter(isMeasured)) {
    const key = [modelOf(record), deviceOf(record), Math.round(tokensOf(record))].join('\n');
    groups.set(key, [...(groups.get(key) ?? []), record]);
  }
  return [...groups.values()].flatMap((group) => {
    const [lora, qlora] = (['lora', 'qlora'] as const).map((method) => group.filter((r) => methodOf(r) === method));
    const [first] = lora ?? [];
    if (first === undefined || qlora === undefined || qlora.length === 0) return [];
    const of = (read: (record: RunRecord) => number): number =>
      median(qlora.map(read)) / median((lora ?? []).map(read));
    return [
      {
        source,
        model: modelOf(first),
        device: deviceOf(first),
        software: first.meta_info.gpu?.software_rendered ?? false,
        tokensPerMicroStep: tokensOf(first),
        time: of((record) => record.train_info.step_time_ms?.p50 ?? Number.NaN),
        memory: of((record) => record.train_info.memory?.allocated.peak ?? Number.NaN),
      },
    ];
  });
}

const isMeasured = ({ run_info, train_info }: RunRecord): boolean =>
  run_info.status === 'success' && train_info.step_time_ms !== null && train_info.memory !== null;
/** By what the base really was: a checkpoint may come quantized. */
const methodOf = ({ run_info: { peft_config, quantization_config } }: RunRecord): 'lora' | 'qlora' | null =>
  peft_config === null ? null : quantization_config === null ? 'lora' : 'qlora';
const modelOf = ({ meta_info }: RunRecord): string => path.basename(meta_info.model_info.id);
const deviceOf = ({ meta_info }: RunRecord): string =>
  meta_info.gpu?.description || meta_info.gpu?.device || 'a device';

/** Tokens of a micro-batch; older records have those of a step and how many micro-batches that were. */
function tokensOf({ train_info, run_info }: RunRecord): number {
  const {
    tokens_per_micro_step: known,
    padded_tokens_per_second: tokens,
    steps_per_second: steps,
  } = train_info.throughput;
  if (typeof known === 'number') return known;
  return (tokens ?? Number.NaN) / (steps ?? 1) / Number(run_info.train_config.gradient_accumulation_steps ?? 1);
}
