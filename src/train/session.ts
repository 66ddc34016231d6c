/** Everything before the first step: from a resolved config to a loaded model on the GPU. */

import { max as largest } from 'simple-statistics';
import type { TrainConfig } from '../config/settings.ts';
import type { ChatSource } from '../data/chat-source.ts';
import type { Dataset } from '../data/dataset.ts';
import type { RowStoreOptions } from '../data/row-store.ts';
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
import { longestRow } from './packing.ts';
import { pissaStart } from './pissa.ts';
import { readRows } from './rows.ts';
import { readSamplePlan, type SamplePlan } from './samples.ts';

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
  readonly chat: ChatSource | null;
  readonly batches: RunBatches;
  readonly layout: ModelLayout;
  /** What eval_generate writes on after; null without it. */
  readonly samples: SamplePlan | null;
};

/** Reads and checks everything but the weights; `store` is for rows that memory does not hold. @throws ConfigError, DataError */
export async function readRunInput(
  config: TrainConfig,
  readerOf: Runtime['readerOf'],
  store: RowStoreOptions = {},
): Promise<RunInput> {
  const { model, source, tokenizer, adapter, notes } = await openModel(config, readerOf);
  const { train, evaluation, chat, notes: rowNotes } = await readRows(config, { model, tokenizer }, readerOf, store);
  const samples = await readSamplePlan(config, { model, tokenizer }, readerOf);
  const padId = model.pad_token_id ?? 0;
  const rowBatches = runBatches(config, train.rows, evaluation.rows, padId, longestRow(config, model));
  const { shapes } = rowBatches;
  const batches = samples === null ? rowBatches : { ...rowBatches, shapes: { ...shapes, sample: samples.tokens } };
  const maxPositions = largest([...[...shapes.train, ...shapes.evaluation].map((s) => s.S), samples?.tokens ?? 1]);
  const layout = await modelLayout({ config, model, source, adapter, maxPositions });
  const allNotes = [...notes, ...rowNotes];
  const rows = { train, evaluation, chat, batches };
  return { config, model, source, tokenizer, adapter, notes: allNotes, ...rows, layout, samples };
}

/** Allocates model and arena in GPU memory; loads and compiles nothing. @throws DeviceError */
export function allocate({ device }: Pick<Runtime, 'device'>, { layout, config, batches }: RunInput): Promise<Engine> {
  const target = { device, profile: device.profile, shaders: device.shaders };
  return device.guarded('allocating', () => buildEngine(target, layout, config, batches.shapes));
}

/** Fills the base weights; yields their names one by one. @throws DataError; the signal's reason */
export async function* fill(
  runtime: Runtime,
  { config, layout, source }: RunInput,
  engine: Engine,
  signal: AbortSignal,
): AsyncGenerator<string, LoadTimes> {
  const { machine, declared } = engine;
  const sourceDtype: SourceDtype | null = config.dtype === 'auto' ? null : config.dtype;
  const start = yield* pissaStart(layout, config, source, runtime.codec);
  engine.startPairs = start?.values ?? null;
  const { measure_quantization_error: measuresError } = config;
  const context = { ...runtime, residents: machine.residents, sourceDtype, measuresError, signal };
  return yield* loadModel(context, declared, start?.residual ?? source);
}

/** Writes the adapter's first values; full training starts from the weights themselves. */
export async function initialize(input: RunInput, engine: Engine): Promise<void> {
  if (input.layout.lora !== null)
    await initializeAdapter(engine, input.layout, input.config, input.adapter, input.source);
}
