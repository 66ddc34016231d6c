/** Reads the scales of a weight that bitsandbytes quantized, in the form nibble's own quantizer gives them. */
import { DataError } from '../errors.ts';
import type { Bnb4bitTensor } from '../formats/bnb4bit.ts';
import { readFloats, type TensorSource } from '../formats/checkpoint.ts';
import { place } from '../formats/reader.ts';
import { FP4_CODE, NF4_CODE } from '../wasm/tables.ts';
import { NESTED_BLOCK_SIZE, type QuantState } from '../wasm/types.ts';

/**
 * Checks that the kernels can decode a weight. A checkpoint may bring its own map of the absmax codes: bitsandbytes computes
 * it, and where torch has no fused multiply-add, 42 values come out a unit or two in the last place from the usual ones.
 * @throws DataError for a 4-bit code that is not bitsandbytes', nested blocks of another size, or a map that is not ascending
 */
export function requireKnownCodes(source: TensorSource, name: string, stored: Bnb4bitTensor): void {
  const fail = (detail: string): never => {
    throw new DataError(place(source, stored.packed.file), `${name}: ${detail}: quantize the 16-bit model again`);
  };
  const code = stored.quantType === 'nf4' ? NF4_CODE : FP4_CODE;
  if (stored.quantMap.some((v, i) => v !== code[i]))
    fail(`its quant_map is not the ${stored.quantType} code of bitsandbytes`);
  if (stored.nested !== undefined && stored.nested.blockSize !== NESTED_BLOCK_SIZE)
    fail(`nested_blocksize is ${stored.nested.blockSize}, only ${NESTED_BLOCK_SIZE} is supported`);
  const map = stored.nestedQuantMap;
  const stray = map?.findIndex((v, i) => !Number.isFinite(v) || (i > 0 && v <= (map[i - 1] as number))) ?? -1;
  if (map !== undefined && stray >= 0)
    fail(`its nested_quant_map has ${map[stray]} at ${stray}, needs 256 finite values in ascending order`);
}

/** Reads absmax or its codes; the packed codes stay in the file, to be read in slabs. @throws DataError as requireKnownCodes */
export async function prequantizedState(
  source: TensorSource,
  name: string,
  stored: Bnb4bitTensor,
): Promise<QuantState> {
  requireKnownCodes(source, name, stored);
  const packedBytes = stored.packed.bytes;
  const { nested, nestedQuantMap } = stored;
  if (nested === undefined || nestedQuantMap === undefined) {
    const absmax = (await readFloats(source, stored.absmax.name)) as Float32Array<ArrayBuffer>;
    return { nested: false, packedBytes, absmax };
  }
  const codes = new Uint8Array(stored.absmax.bytes);
  await source.read(stored.absmax.name, 0, codes);
  const nestedAbsmax = (await readFloats(source, nested.absmax.name)) as Float32Array<ArrayBuffer>;
  const dynamicCode = nestedQuantMap as Float32Array<ArrayBuffer>;
  return { nested: true, packedBytes, codes, nestedAbsmax, offset: nested.offset, dynamicCode };
}
