/** How the base of a run is quantized in fact: by the settings, or by the checkpoint, which then decides. */
import { isBnb4bit } from '../formats/bnb4bit.ts';
import type { ModelLayout } from '../train/model-layout.ts';
import type { RunInput } from '../train/session.ts';

export type BaseQuantization = {
  readonly quantType: 'nf4' | 'fp4';
  readonly blockSize: number;
  readonly doubleQuant: boolean;
};

/** Of the first quantized linear layer; null where none is. */
export function baseQuantization({ spec, linear }: ModelLayout): BaseQuantization | null {
  for (const module of linear.keys()) {
    const stored = spec.storedAs(module);
    if (stored.kind === '4bit') return stored;
  }
  return null;
}

/** What the settings do not say of a checkpoint that was quantized before; null where there is nothing to say. */
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
