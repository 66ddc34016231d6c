/** From a resolved config to a loaded model on the GPU: everything before the first step. */
import type { TrainConfig } from '../config/settings.ts';
import { type Dataset, loadDataset } from '../data/dataset.ts';
import { ConfigError } from '../errors.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { type ModelConfig, readModelConfig } from '../formats/hf-config.ts';
import { type Adapter, checkOwnEmbeddings, openAdapter } from '../formats/peft.ts';
import type { FileReader } from '../formats/reader.ts';
import { openTokenizer, type TextTokenizer, TOKENIZER_FILE } from '../formats/tokenizer.ts';
import { GpuAllocator } from '../gpu/allocator.ts';
import type { Device } from '../gpu/device.ts';
import { Ledger } from '../gpu/ledger.ts';
import { checkWeights } from '../model/check-weights.ts';
import { type LoadTimes, loadModel } from '../model/load.ts';
import { openWeights } from '../model/random-weights.ts';
import { withTiedHead } from '../model/tied-head.ts';
import type { QuantKernels } from '../wasm/kernels.ts';
import type { Quantizer, SourceDtype } from '../wasm/types.ts';
import { adapterBase } from './adapter-base.ts';
import { initializeAdapter } from './adapter-state.ts';
import { type RunBatches, runBatches } from './batching.ts';
import { buildMemory } from './build.ts';
import type { Engine } from './engine.ts';
import type { EngineMemory } from './engine-memory.ts';
import { type ModelPlan, planModel } from './model-plan.ts';
import { longestRow, packingOf } from './packing.ts';

/** What the world gives to a run: a device, a quantizer, and files. */
export type Runtime = {
  readonly device: Device;
  readonly quantizer: Quantizer;
  readonly kernels: QuantKernels;
  readonly readerOf: (directory: string) => FileReader;
};

/** What is known of a run before any GPU memory is taken. */
export type RunInput = {
  readonly config: TrainConfig;
  readonly model: ModelConfig;
  readonly source: TensorSource;
  readonly tokenizer: TextTokenizer | null;
  readonly adapter: Adapter | null;
  readonly train: Dataset;
  readonly evaluation: Dataset;
  readonly batches: RunBatches;
  readonly plan: ModelPlan;
};

/** Reads and checks everything but the weights. @throws ConfigError, DataError */
export async function readRunInput(config: TrainConfig, readerOf: Runtime['readerOf']): Promise<RunInput> {
  const reader = readerOf(config.model_name_or_path);
  const model = await readModelConfig(reader);
  const source = await withTiedHead(model, await openWeights(reader, model));
  await checkWeights(model, source);
  const tokenizer = (await reader.exists(TOKENIZER_FILE)) ? await openTokenizer(reader, model.vocab_size) : null;
  const adapter =
    config.adapter_name_or_path === null
      ? null
      : await openAdapter(readerOf(config.adapter_name_or_path), adapterBase(model));
  if (adapter !== null) await checkOwnEmbeddings(adapter, source);
  const limits = {
    vocabSize: model.vocab_size,
    maxPositions: model.max_position_embeddings,
    maxLength: config.max_length,
    tokenizer,
    appendEos: config.append_eos,
  };
  const files = readerOf('.');
  if (config.datasets.length === 0)
    throw new ConfigError([{ path: 'datasets', message: 'names no file; give datasets: [{path: rows.jsonl}]' }]);
  const packing = packingOf(config);
  const train = await loadDataset(files, config.datasets, { ...limits, packing: packing.train });
  const evaluation = await loadDataset(files, config.eval_datasets, { ...limits, packing: packing.evaluation });
  const padId = model.pad_token_id ?? 0;
  const batches = runBatches(config, train.rows, evaluation.rows, padId, longestRow(config, model));
  const maxPositions = Math.max(...[...batches.shapes.train, ...batches.shapes.evaluation].map((s) => s.S));
  const plan = await planModel({ config, model, source, adapter, maxPositions });
  return { config, model, source, tokenizer, adapter, train, evaluation, batches, plan };
}

/** Allocates the model and the arena. Takes GPU memory, loads nothing. @throws DeviceError */
export async function allocate(
  { device }: Runtime,
  { plan, config, batches }: RunInput,
): Promise<{ memory: EngineMemory; ledger: Ledger }> {
  const ledger = new Ledger();
  const target = { allocator: new GpuAllocator(device.gpu, ledger), profile: device.profile, shaders: device.shaders };
  const memory = await device.guarded('allocating', () => buildMemory(target, plan, config, batches.shapes));
  return { memory, ledger };
}

/** Fills the base weights; yields their names one by one. @throws DataError; the signal's reason */
export function fill(
  runtime: Runtime,
  input: RunInput,
  memory: EngineMemory,
  signal: AbortSignal,
): AsyncGenerator<string, LoadTimes> {
  const { residents, declared } = memory.parts;
  const sourceDtype: SourceDtype | null = input.config.dtype === 'auto' ? null : input.config.dtype;
  return loadModel({ ...runtime, residents, sourceDtype, signal }, declared, input.source);
}

/** Writes the adapter's first values; full training starts from the weights themselves. */
export async function initialize(input: RunInput, engine: Engine): Promise<void> {
  if (input.plan.lora !== null) await initializeAdapter(engine, input.plan, input.config, input.adapter);
}
