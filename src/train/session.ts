/** Everything before the first step: from a resolved config to a loaded model on the GPU. */

import { max as largest } from 'simple-statistics';
import type { TrainConfig } from '../config/settings.ts';
import { openChatSource } from '../data/chat-source.ts';
import { type Dataset, loadDataset } from '../data/dataset.ts';
import { ConfigError } from '../errors.ts';
import type { FileReader } from '../formats/reader.ts';
import type { Device } from '../gpu/device.ts';
import { type LoadTimes, loadModel } from '../model/load.ts';
import { type OpenedModel, openModel } from '../model/open.ts';
import type { Codec } from '../wasm/codec.ts';
import type { Quantizer, SourceDtype } from '../wasm/types.ts';
import { type RunBatches, runBatches } from './batching.ts';
import { buildEngine } from './build.ts';
import type { Engine } from './engine.ts';
import { initializeAdapter } from './initialize-adapter.ts';
import { type ModelLayout, modelLayout } from './model-layout.ts';
import { longestRow, packingOf } from './packing.ts';

/** What the platform provides to a run: a device, a quantizer, and files. */
export type Runtime = {
  readonly device: Device;
  readonly quantizer: Quantizer;
  readonly codec: Codec;
  readonly readerOf: (directory: string) => FileReader;
};

/** A run before it takes GPU memory: files opened, rows read, batches and layout decided. */
export type RunInput = OpenedModel & {
  readonly config: TrainConfig;
  readonly train: Dataset;
  readonly evaluation: Dataset;
  readonly batches: RunBatches;
  readonly layout: ModelLayout;
};

/** Reads and checks everything but the weights. @throws ConfigError, DataError */
export async function readRunInput(config: TrainConfig, readerOf: Runtime['readerOf']): Promise<RunInput> {
  const { model, source, tokenizer, adapter, notes } = await openModel(config, readerOf);
  const limits = {
    vocabSize: model.vocab_size,
    maxPositions: model.max_position_embeddings,
    maxLength: config.max_length,
    tokenizer,
    appendEos: config.append_eos,
    textField: config.dataset_text_field,
    completionOnlyLoss: config.completion_only_loss,
    assistantOnlyLoss: config.assistant_only_loss,
    chat: await openChatSource(readerOf(config.model_name_or_path), config.chat_template_path, readerOf),
  };
  const files = readerOf('.');
  if (config.datasets.length === 0)
    throw new ConfigError([{ path: 'datasets', message: 'names no file; give datasets: [{path: rows.jsonl}]' }]);
  const packing = packingOf(config);
  const train = await loadDataset(files, config.datasets, { ...limits, packing: packing.train });
  const evaluation = await loadDataset(files, config.eval_datasets, { ...limits, packing: packing.evaluation });
  const padId = model.pad_token_id ?? 0;
  const batches = runBatches(config, train.rows, evaluation.rows, padId, longestRow(config, model));
  const maxPositions = largest([...batches.shapes.train, ...batches.shapes.evaluation].map((s) => s.S));
  const layout = await modelLayout({ config, model, source, adapter, maxPositions });
  return { config, model, source, tokenizer, adapter, notes, train, evaluation, batches, layout };
}

/** Allocates model and arena in GPU memory; loads and compiles nothing. @throws DeviceError */
export function allocate({ device }: Pick<Runtime, 'device'>, { layout, config, batches }: RunInput): Promise<Engine> {
  const target = { device, profile: device.profile, shaders: device.shaders };
  return device.guarded('allocating', () => buildEngine(target, layout, config, batches.shapes));
}

/** Fills the base weights; yields their names one by one. @throws DataError; the signal's reason */
export function fill(
  runtime: Runtime,
  input: RunInput,
  { machine, declared }: Engine,
  signal: AbortSignal,
): AsyncGenerator<string, LoadTimes> {
  const sourceDtype: SourceDtype | null = input.config.dtype === 'auto' ? null : input.config.dtype;
  return loadModel({ ...runtime, residents: machine.residents, sourceDtype, signal }, declared, input.source);
}

/** Writes the adapter's first values; full training starts from the weights themselves. */
export async function initialize(input: RunInput, engine: Engine): Promise<void> {
  if (input.layout.lora !== null) await initializeAdapter(engine, input.layout, input.config, input.adapter);
}
