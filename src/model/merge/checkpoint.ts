/** Writes a model directory with an adapter merged into its weights, tensor by tensor. */
import type { Adapter } from '../../adapters/files.ts';
import { ConfigError, DataError } from '../../errors.ts';
import { isBnb4bit, readBnb4bit } from '../../formats/bnb4bit.ts';
import { denseConfig } from '../../formats/bnb4bit-config.ts';
import type { TensorSource } from '../../formats/checkpoint.ts';
import type { TorchFloat } from '../../formats/dtype.ts';
import { CONFIG_FILE, type ModelConfig } from '../../formats/hf-config.ts';
import { place } from '../../formats/reader.ts';
import { parametersOf } from '../modules.ts';
import {
  plainTensor,
  type QuantizeJob,
  type QuantizeResult,
  quantizeCheckpoint,
  writeCheckpoint,
} from '../quantize/checkpoint.ts';
import { type QuantizedLayout, type QuantizeSettings, quantizedLayout } from '../quantize/layout.ts';
import { convertedSource } from './converted.ts';
import { dequantizedSource } from './dequantized.ts';
import { type MergedSource, mergedSource } from './source.ts';

export type MergeSettings = {
  /** What the base is converted to before it is merged; null keeps each weight as it is stored. */
  readonly dtype: TorchFloat | null;
  /** PEFT's safe_merge: the update is rounded to the weight's type first. */
  readonly safeMerge: boolean;
  /** Writes a base in 4 bits as ordinary weights; otherwise it is quantized again, as it was. */
  readonly dequantize: boolean;
};

/** What will be written, decided from config.json and headers. */
export type MergeLayout = {
  readonly source: MergedSource;
  /** Null where ordinary weights are written. */
  readonly quantized: { readonly settings: QuantizeSettings; readonly layout: QuantizedLayout } | null;
  readonly bytes: number;
  readonly spoolBytes: number;
};

type Opened = {
  readonly config: ModelConfig;
  readonly source: TensorSource;
  readonly adapter: Adapter;
  readonly codec: QuantizeJob['codec'];
};

/** Lays out the merged checkpoint. @throws ConfigError, DataError */
export async function mergeLayout(
  { config, source, adapter, codec }: Opened,
  settings: MergeSettings,
): Promise<MergeLayout> {
  const { safeMerge, dequantize, dtype } = settings;
  const base = { ...config, quantization_config: null };
  const first = source.names().find((name) => isBnb4bit(source, name));
  if (first === undefined && config.quantization_config !== null)
    throw new DataError(source.root, 'has a quantization_config, but no weight in 4 bits. Was it saved whole?');
  const isRequantized = first !== undefined && !dequantize;
  const view =
    first === undefined ? source : await dequantizedSource(source, codec, isRequantized ? 'float32' : 'recorded');
  if (isRequantized && dtype !== null)
    throw new ConfigError([
      {
        path: 'dtype',
        message: `${dtype} is for ordinary weights, and this base is quantized again; add dequantize: true`,
      },
    ]);
  requireBiases(adapter, view);
  const parameters = new Set(parametersOf(base).map(({ name }) => name));
  const typed = dtype === null ? view : convertedSource(view, codec, dtype, parameters);
  const merged = await mergedSource(typed, adapter, { codec, safeMerge, refusesOverflow: true });
  if (!isRequantized) {
    const bytes = merged.names().reduce((sum, name) => sum + merged.info(name).bytes, 0);
    return { source: merged, quantized: null, bytes, spoolBytes: 0 };
  }
  const quantization = await settingsOf(source, first, config);
  const layout = await quantizedLayout(base, merged, quantization);
  return {
    source: merged,
    quantized: { settings: quantization, layout },
    bytes: layout.bytes,
    spoolBytes: layout.spoolBytes,
  };
}

/** A bias of lora_B becomes part of its layer's, so that the layer must have one: PEFT merges into no other. @throws ConfigError */
function requireBiases({ layout, source: { root } }: Adapter, base: TensorSource): void {
  const bare = layout.loraBias ? layout.targets.find(({ name }) => !base.has(`${name}.bias`)) : undefined;
  if (bare === undefined) return;
  const message =
    `is true, and ${bare.name} of the base has no bias to which that of lora_B could be added. Use the adapter beside its base, ` +
    'or train without lora_bias.';
  throw new ConfigError([{ path: `${root}: lora_bias`, message }]);
}

/** Writes it: weights, index, companions and, last, config.json. @throws DataError for a merged weight that is not finite */
export async function mergeCheckpoint(
  job: Omit<QuantizeJob, 'settings' | 'layout' | 'source'>,
  { source, quantized }: MergeLayout,
  { dtype, dequantize }: MergeSettings,
): Promise<QuantizeResult> {
  const config = { ...job.config, quantization_config: null };
  if (quantized !== null) return quantizeCheckpoint({ ...job, ...quantized, config, source });
  const groups = source.names().map((name) => [plainTensor({ ...job, source }, name, null)]);
  const file = place(job.reader, CONFIG_FILE);
  return writeCheckpoint({ ...job, config, source }, groups, (text) =>
    dtype === null && !dequantize ? text : denseConfig(text, dtype, file),
  );
}

/** How the base was quantized: its first weight says, and its config.json. */
async function settingsOf(source: TensorSource, first: string, config: ModelConfig): Promise<QuantizeSettings> {
  const stored = await readBnb4bit(source, first);
  const { llm_int8_skip_modules: skips, bnb_4bit_compute_dtype: computeDtype } = config.quantization_config ?? {};
  if (stored === null) throw new DataError(source.root, `${first} is not in 4 bits`);
  return {
    quantType: stored.quantType,
    blockSize: stored.blockSize,
    doubleQuant: stored.nested !== undefined,
    storage: 'uint8',
    dtype: null,
    computeDtype: (typeof computeDtype === 'string' ? computeDtype : 'float32') as TorchFloat,
    skipModules: Array.isArray(skips) ? (skips as string[]) : null,
  };
}
