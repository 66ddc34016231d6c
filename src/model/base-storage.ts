/** How the base's weights are stored on the GPU: as the checkpoint has them, or in 4 bits. */
import type { TrainConfig } from '../config/settings.ts';
import { readBnb4bit } from '../formats/bnb4bit.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { floatType, type GpuFloat, isFloatDtype } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { StoredAs } from './declare.ts';
import { allLinears, EMBEDDING, HEAD } from './modules.ts';
import { skipTest } from './skips.ts';

/** The settings that decide it. */
export type StorageSettings = Pick<
  TrainConfig,
  | 'dtype'
  | 'load_in_4bit'
  | 'bnb_4bit_quant_type'
  | 'bnb_4bit_blocksize'
  | 'bnb_4bit_use_double_quant'
  | 'llm_int8_skip_modules'
>;

export type BaseStorage = {
  readonly storedAs: (module: string) => StoredAs;
  /** Modules that the checkpoint holds in 4 bits. */
  readonly prequantized: ReadonlyMap<string, StoredAs>;
};

/** Lists the modules that may be held in 4 bits: every linear layer, and a head of its own. */
export function quantizable(model: ModelConfig): string[] {
  return [...allLinears(model).map(({ name }) => name), ...(model.tie_word_embeddings ? [] : [HEAD])];
}

/**
 * Decides how each weight is stored. @param source the weights; null for an estimate from config.json alone
 * @throws ConfigError for a skip that names nothing; DataError when a quantized tensor contradicts itself
 */
export async function baseStorage(
  config: StorageSettings,
  model: ModelConfig,
  source: TensorSource | null,
): Promise<BaseStorage> {
  const linear = new Set(allLinears(model).map(({ name }) => name));
  const isSkipped = skipTest(config.llm_int8_skip_modules ?? [], [...linear, HEAD, EMBEDDING]);
  const prequantized =
    source === null ? new Map<string, StoredAs>() : await prequantizedWeights(source, quantizable(model));
  // A quantized checkpoint stays as it is: what it holds in 16 or 32 bits was kept out when it was made. Otherwise
  // every linear layer of a QLoRA base is quantized, whatever the adapter targets; head and embedding never are.
  const isQuantizedHere = (module: string): boolean =>
    config.load_in_4bit && prequantized.size === 0 && linear.has(module) && !isSkipped(module);
  const storedAs = (module: string): StoredAs =>
    prequantized.get(module) ??
    (isQuantizedHere(module) ? fourBit(config) : { kind: 'dense', dtype: denseDtype(config, model, source, module) });
  return { storedAs, prequantized };
}

/** Finds the weights that the checkpoint holds in bitsandbytes' 4-bit form, by module. */
async function prequantizedWeights(source: TensorSource, modules: readonly string[]): Promise<Map<string, StoredAs>> {
  const found = new Map<string, StoredAs>();
  for (const module of modules) {
    const name = `${module}.weight`;
    const stored = source.has(name) ? await readBnb4bit(source, name) : null;
    if (stored === null) continue;
    const { quantType, blockSize, nested, nestedQuantMap: dynamicCode } = stored;
    const doubleQuant = nested !== undefined;
    found.set(module, { kind: '4bit', quantType, blockSize, doubleQuant, ...(dynamicCode && { dynamicCode }) });
  }
  return found;
}

function fourBit(config: StorageSettings): StoredAs {
  return {
    kind: '4bit',
    quantType: config.bnb_4bit_quant_type,
    blockSize: config.bnb_4bit_blocksize,
    doubleQuant: config.bnb_4bit_use_double_quant,
  };
}

function denseDtype(
  config: StorageSettings,
  model: ModelConfig,
  source: TensorSource | null,
  module: string,
): GpuFloat {
  if (config.dtype !== 'auto') return floatType(config.dtype).gpu;
  const name = `${module}.weight`;
  const stored = source?.has(name) ? source.info(name).dtype : null;
  return floatType(stored !== null && isFloatDtype(stored) ? stored : (model.dtype ?? 'float32')).gpu;
}
