/** Whole runs in the test's process: train() on the tests' device, with files in memory or on disk. */
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { loadWasmModule } from '../../src/node/codec.ts';
import { nodeReader } from '../../src/node/files.ts';
import type { StepEvent, TrainEvent } from '../../src/train/events.ts';
import { type TrainResult, train } from '../../src/train/run.ts';
import { type RunInput, type Runtime, readRunInput } from '../../src/train/session.ts';
import { Codec } from '../../src/wasm/codec.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { device } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';

export type Files = Map<string, Uint8Array | string>;

const module = await loadWasmModule();

/** Makes a runtime whose named directories are in memory and all others on disk. `.` holds the datasets. */
export function runtimeOf(directories: Readonly<Record<string, Files>>): Runtime {
  const readerOf = (name: string) => {
    const files = directories[name];
    return files === undefined ? nodeReader(name) : memoryReader(files, name);
  };
  return { device, quantizer: createQuantizer(module), codec: new Codec(module), readerOf };
}

/**
 * Makes rows of one length over a few tokens, each mostly followed by the same one, so that 20 steps learn something.
 */
export function learnableRows(seed: number, count: number, length: number, vocab: number): string {
  const r = random(seed);
  const rows = Array.from({ length: count }, () => {
    const noise = r.uniform(length);
    const ids = [Math.floor((noise[0] as number) * 8)];
    for (let t = 1; t < length; t++) {
      ids.push(
        (noise[t] as number) < 0.8 ? ((ids[t - 1] as number) + 1) % 8 : Math.floor((noise[t] as number) * 39) % 8,
      );
    }
    return JSON.stringify({ input_ids: ids.map((i) => (i * 5 + 1) % vocab) });
  });
  return `${rows.join('\n')}\n`;
}

export function configOf(overrides: Partial<TrainConfig>): TrainConfig {
  const base = {
    ...settings.parse({ model_name_or_path: 'model', datasets: [{ path: 'rows.jsonl' }] }),
    eval_steps: 1,
    logging_steps: 1,
    learning_rate: 1e-2,
    train_sampling_strategy: 'sequential',
    lora_r: 4,
    lora_target_modules: 'all-linear',
    per_device_train_batch_size: 2,
    max_steps: 3,
  };
  const requested_compute_dtype = overrides.compute_dtype ?? base.compute_dtype;
  return { ...base, requested_compute_dtype, ...overrides } as TrainConfig;
}

export type Run = {
  readonly input: RunInput;
  readonly result: TrainResult;
  readonly steps: readonly StepEvent[];
  readonly events: readonly TrainEvent[];
  readonly losses: readonly number[];
  readonly files: Files;
};

/** Trains and destroys the engine; `inspect` is called before that. */
export async function runTraining(
  directories: Readonly<Record<string, Files>>,
  overrides: Partial<TrainConfig>,
  inspect?: (result: TrainResult) => Promise<void>,
): Promise<Run> {
  const runtime = runtimeOf(directories);
  const input = await readRunInput(configOf(overrides), runtime.readerOf);
  const files: Files = new Map();
  const running = train(runtime, input, { signal: new AbortController().signal, writer: memoryWriter(files) });
  const events: TrainEvent[] = [];
  let next = await running.next();
  for (; !next.done; next = await running.next()) events.push(next.value);
  await inspect?.(next.value);
  next.value.engine.destroy();
  const steps = events.filter((e): e is StepEvent => e.type === 'step');
  return { input, result: next.value, steps, events, losses: steps.map((s) => s.loss), files };
}

export function bytesOf(run: Run, file: string): Uint8Array {
  const content = run.files.get(file);
  if (!(content instanceof Uint8Array)) throw new Error(`${file} is not among ${[...run.files.keys()].join(', ')}`);
  return content;
}

export const ADAPTER = 'adapter_model.safetensors';

/** Copies a model directory with its tensors as F32; `replace` may change each. */
export async function copyModel(
  directory: string,
  replace: (name: string, values: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer> = (_, values) => values,
): Promise<Files> {
  const reader = nodeReader(directory);
  const source = await openCheckpoint(reader);
  const tensors = [];
  for (const name of source.names()) {
    const { dtype, shape } = source.info(name);
    if (dtype !== 'F32') throw new Error(`${name} is ${dtype}: copy an f32 model`);
    const raw = new Uint8Array(4 * shape.reduce((p, n) => p * n, 1));
    await source.read(name, 0, raw);
    const values = replace(name, new Float32Array(raw.buffer));
    const data = () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)];
    tensors.push({ name, dtype: 'F32' as const, shape, data });
  }
  const files: Files = new Map([['config.json', await reader.readText('config.json')]]);
  await writeSafetensors(memoryWriter(files), 'model.safetensors', tensors);
  return files;
}
