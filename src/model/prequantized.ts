/** Scales of a weight that bitsandbytes quantized, in the form our own quantizer gives them. */
import { DataError } from '../errors.ts';
import type { Bnb4bitTensor } from '../formats/bnb4bit.ts';
import { readFloats, type TensorSource } from '../formats/checkpoint.ts';
import { place } from '../formats/reader.ts';
import { DYNAMIC_CODE, FP4_CODE, NF4_CODE } from '../wasm/tables.ts';
import { NESTED_BLOCK_SIZE, type QuantState } from '../wasm/types.ts';

/** @throws DataError for what the kernels cannot decode: code tables that are not bitsandbytes', other nested blocks */
export function requireKnownCodes(source: TensorSource, name: string, stored: Bnb4bitTensor): void {
  const fail = (detail: string): never => {
    throw new DataError(place(source, stored.packed.file), `${name}: ${detail}: quantize the 16-bit model again`);
  };
  const code = stored.quantType === 'nf4' ? NF4_CODE : FP4_CODE;
  if (stored.quantMap.some((v, i) => v !== code[i]))
    fail(`its quant_map is not the ${stored.quantType} code of bitsandbytes`);
  if (stored.nested !== undefined && stored.nested.blockSize !== NESTED_BLOCK_SIZE)
    fail(`nested_blocksize is ${stored.nested.blockSize}, only ${NESTED_BLOCK_SIZE} is supported`);
  if (stored.nestedQuantMap?.some((v, i) => v !== DYNAMIC_CODE[i]))
    fail('its nested_quant_map is not the dynamic map of bitsandbytes');
}

/** Reads absmax or its codes; the packed codes stay in the file, to be read in slabs. @throws DataError as requireKnownCodes */
export async function prequantizedState(
  source: TensorSource,
  name: string,
  stored: Bnb4bitTensor,
): Promise<QuantState> {
  requireKnownCodes(source, name, stored);
  const packedBytes = stored.packed.bytes;
  if (stored.nested === undefined) {
    const absmax = (await readFloats(source, stored.absmax.name)) as Float32Array<ArrayBuffer>;
    return { nested: false, packedBytes, absmax };
  }
  const codes = new Uint8Array(stored.absmax.bytes);
  await source.read(stored.absmax.name, 0, codes);
  const nestedAbsmax = (await readFloats(source, stored.nested.absmax.name)) as Float32Array<ArrayBuffer>;
  return { nested: true, packedBytes, codes, nestedAbsmax, offset: stored.nested.offset };
}
