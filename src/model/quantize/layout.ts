/** Decides what a quantized checkpoint will hold, from config.json and headers, before anything is written. */
import { ConfigError, type ConfigProblem, DataError } from '../../errors.ts';
import { isBnb4bit } from '../../formats/bnb4bit.ts';
import type { BnbConfig } from '../../formats/bnb4bit-config.ts';
import { fitsStorage, packedBytes, type QuantStorage } from '../../formats/bnb4bit-write.ts';
import type { TensorSource } from '../../formats/checkpoint.ts';
import { elementCount, type FloatDtype, floatType, isFloatDtype, type TorchFloat } from '../../formats/dtype.ts';
import type { ModelConfig } from '../../formats/hf-config.ts';
import { type CheckpointQuantType, NESTED_BLOCK_SIZE, type QuantSpec } from '../../wasm/types.ts';
import { checkWeights } from '../check-weights.ts';
import { EMBEDDING, HEAD, modulesOf, parametersOf } from '../modules.ts';
import { skipTest } from '../skips.ts';

export type QuantizeSettings = QuantSpec & {
  readonly quantType: CheckpointQuantType;
  readonly storage: QuantStorage;
  /** What the weights are converted to before they are quantized; null keeps each as it is stored. */
  readonly dtype: TorchFloat | null;
  /** Recorded in config.json for programs that compute with the checkpoint; nothing here depends on it. */
  readonly computeDtype: TorchFloat;
  /** Modules that stay as they are; null keeps lm_head. A list replaces that default, as in transformers. */
  readonly skipModules: readonly string[] | null;
};

/** A tensor of the source, and how it is written. */
export type OutputTensor =
  | { readonly kind: '4bit'; readonly name: string; readonly stored: FloatDtype; readonly shape: [number, number] }
  | { readonly kind: 'plain'; readonly name: string; readonly dtype: TorchFloat | null };

export type QuantizedLayout = {
  readonly tensors: readonly OutputTensor[];
  /** Linear modules that stay unquantized. */
  readonly keptModules: readonly string[];
  /** Elements that are quantized. */
  readonly elements: number;
  /** Bytes of all tensors that will be written; code tables and records (under 1.3 KB a weight) left out. */
  readonly bytes: number;
  /** The part of `bytes` that is codes and scales of the quantized weights. */
  readonly spoolBytes: number;
  /** Bytes of the tensors as they are now. */
  readonly sourceBytes: number;
};

/**
 * Lays out the quantized checkpoint: which tensors become 4-bit, which are copied or converted, and how many bytes result.
 * @param notes is told of tensors that the model has no place for: they are copied
 * @throws DataError when the model is quantized already or its weights are not what config.json describes;
 * ConfigError when a skip names nothing, when nothing would be quantized, or when a setting does not suit a weight
 */
export async function quantizedLayout(
  config: ModelConfig,
  source: TensorSource,
  settings: QuantizeSettings,
  notes: string[] = [],
): Promise<QuantizedLayout> {
  requireUnquantized(config, source);
  await checkWeights(config, source, notes);
  const linears = modulesOf(config).filter((module) => module.kind === 'linear');
  const names = linears.map(({ name }) => name);
  const isSkipped = skipTest(settings.skipModules ?? [HEAD], [...names, EMBEDDING]);
  if (config.tie_word_embeddings && !isSkipped(HEAD)) throw new ConfigError([tiedHead()]);
  const quantized = new Map(
    linears.filter(({ name }) => !isSkipped(name)).map((m) => [`${m.name}.weight`, [m.out, m.in] as [number, number]]),
  );
  if (quantized.size === 0) throw new ConfigError([nothingLeft()]);
  requireStorage(quantized, settings.storage);
  const parameters = new Set(parametersOf(config).map(({ name }) => name));
  const tensors = source.names().map((name): OutputTensor => {
    const { dtype } = source.info(name);
    const shape = quantized.get(name);
    if (shape !== undefined && isFloatDtype(dtype)) return { kind: '4bit', name, stored: dtype, shape };
    // only parameters take another type: buffers, such as rotary frequencies, are no weights of the model
    const converts = settings.dtype !== null && parameters.has(name) && isFloatDtype(dtype);
    return { kind: 'plain', name, dtype: converts ? settings.dtype : null };
  });
  return {
    tensors,
    keptModules: names.filter(isSkipped),
    elements: sum([...quantized.values()], elementCount),
    bytes: sum(tensors, (tensor) => outputBytes(tensor, source, settings)),
    spoolBytes: sum(tensors, (t) => (t.kind === '4bit' ? outputBytes(t, source, settings) : 0)),
    sourceBytes: sum(tensors, ({ name }) => source.info(name).bytes),
  };
}

/** Picks the settings that config.json records. */
export function bnbConfigOf(settings: QuantizeSettings): BnbConfig {
  return {
    bnb_4bit_compute_dtype: settings.computeDtype,
    bnb_4bit_quant_storage: settings.storage,
    bnb_4bit_quant_type: settings.quantType,
    bnb_4bit_use_double_quant: settings.doubleQuant,
    llm_int8_skip_modules: settings.skipModules,
  };
}

function requireUnquantized(config: ModelConfig, source: TensorSource): void {
  const first = source.names().find((name) => isBnb4bit(source, name));
  if (first === undefined && config.quantization_config === null) return;
  const what = first === undefined ? 'config.json has a quantization_config' : `it holds ${first} in 4 bits`;
  throw new DataError(source.root, `is quantized already (${what}). Give the 16-bit model it was made from.`);
}

function requireStorage(quantized: ReadonlyMap<string, [number, number]>, storage: QuantStorage): void {
  const odd = [...quantized].filter(([, shape]) => !fitsStorage(shape, storage));
  if (odd.length === 0) return;
  const [name, shape] = odd[0] as [string, [number, number]];
  throw new ConfigError([
    {
      path: 'bnb_4bit_quant_storage',
      message: `${storage} cannot hold the ${packedBytes(shape)} bytes of ${name} in whole values; use uint8`,
    },
  ]);
}

function tiedHead(): ConfigProblem {
  return {
    path: 'llm_int8_skip_modules',
    message: `leaves out ${HEAD}, which is the embedding of this model (tie_word_embeddings) and cannot be quantized; add it to the list`,
  };
}

function nothingLeft(): ConfigProblem {
  return { path: 'llm_int8_skip_modules', message: 'keeps every linear layer, so nothing would be quantized' };
}

function outputBytes(tensor: OutputTensor, source: TensorSource, settings: QuantizeSettings): number {
  const { bytes, shape } = source.info(tensor.name);
  if (tensor.kind === 'plain') {
    return tensor.dtype === null ? bytes : elementCount(shape) * floatType(tensor.dtype).bytes;
  }
  const blocks = Math.ceil(elementCount(shape) / settings.blockSize);
  // nested: a byte a block, four for 256 of them, and the offset
  const scales = settings.doubleQuant ? blocks + 4 * Math.ceil(blocks / NESTED_BLOCK_SIZE) + 4 : 4 * blocks;
  return packedBytes(tensor.shape) + scales;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
