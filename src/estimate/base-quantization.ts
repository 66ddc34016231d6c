/** The real quantization of a run's base: the settings' own, or that of a checkpoint which came quantized. */
import { isBnb4bit } from '../formats/bnb4bit.ts';
import type { ModelLayout } from '../train/model-layout.ts';
import type { RunInput } from '../train/session.ts';
import type { QuantType } from '../wasm/types.ts';

type BaseQuantization = {
  readonly quantType: QuantType;
  readonly blockSize: number;
  readonly doubleQuant: boolean;
};

/** Quantization of the first quantized linear layer; null where none is quantized. */
export function baseQuantization({ spec, linear }: ModelLayout): BaseQuantization | null {
  for (const module of linear.keys()) {
    const stored = spec.storedAs(module);
    if (stored.kind === '4bit') return stored;
  }
  return null;
}

/** Explains a checkpoint that came quantized, where the settings do not say so; null otherwise. */
export function prequantizedNote({ config, source, layout }: RunInput): string | null {
  const base = baseQuantization(layout);
  if (base === null || ![...layout.linear.keys()].some((module) => isBnb4bit(source, `${module}.weight`))) return null;
  const { quantType, blockSize, doubleQuant } = base;
  const how = `${quantType}, blocks of ${blockSize}, ${doubleQuant ? 'double quantization' : 'no double quantization'}`;
  if (!config.load_in_4bit)
    return `the base is quantized to 4 bits in its checkpoint (${how}) and stays so: this LoRA is what others call QLoRA`;
  const agrees =
    config.bnb_4bit_quant_type === quantType &&
    config.bnb_4bit_blocksize === blockSize &&
    config.bnb_4bit_use_double_quant === doubleQuant;
  return agrees ? null : `the base is quantized in its checkpoint (${how}); the bnb_4bit_ settings do not change that`;
}
