/** Reads the scales of a weight that bitsandbytes quantized, in the form nibble's own quantizer gives them. */
import { DataError } from '../errors.ts';
import type { Bnb4bitTensor } from '../formats/bnb4bit.ts';
import { readFloats, type StoredTensor, type TensorSource } from '../formats/checkpoint.ts';
import { place } from '../formats/reader.ts';
import { CODE_BOOKS } from '../wasm/tables.ts';
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
  const code = CODE_BOOKS[stored.quantType];
  if (stored.quantMap.some((v, i) => v !== code[i]))
    fail(`its quant_map is not the ${stored.quantType} code of bitsandbytes`);
  if (stored.nested !== undefined && stored.nested.blockSize !== NESTED_BLOCK_SIZE)
    fail(`nested_blocksize is ${stored.nested.blockSize}, only ${NESTED_BLOCK_SIZE} is supported`);
  const map = stored.nestedQuantMap;
  const stray = map?.findIndex((v, i) => !Number.isFinite(v) || (i > 0 && v <= (map[i - 1] as number))) ?? -1;
  if (map !== undefined && stray >= 0)
    fail(`its nested_quant_map has ${map[stray]} at ${stray}, needs 256 finite values in ascending order`);
}

/** Reads absmax or its codes; the packed codes stay in the file, to be read in slabs. @throws DataError as requireKnownCodes, and for scales that are not finite or negative */
export async function prequantizedState(
  source: TensorSource,
  name: string,
  stored: Bnb4bitTensor,
): Promise<QuantState> {
  requireKnownCodes(source, name, stored);
  const packedBytes = stored.packed.bytes;
  const { nested, nestedQuantMap } = stored;
  if (nested === undefined || nestedQuantMap === undefined) {
    return { nested: false, packedBytes, absmax: await readScales(source, stored.absmax) };
  }
  const codes = new Uint8Array(stored.absmax.bytes);
  await source.read(stored.absmax.name, 0, codes);
  const nestedAbsmax = await readScales(source, nested.absmax);
  const dynamicCode = nestedQuantMap as Float32Array<ArrayBuffer>;
  const state = { nested: true, packedBytes, codes, nestedAbsmax, offset: nested.offset, dynamicCode } as const;
  requireDecodable(state, place(source, stored.absmax.file), stored.absmax.name);
  return state;
}

/** Reads scales as they are stored. @throws DataError naming the first that is not finite, or negative */
async function readScales(source: TensorSource, { name, file }: StoredTensor): Promise<Float32Array<ArrayBuffer>> {
  const scales = (await readFloats(source, name)) as Float32Array<ArrayBuffer>;
  const at = scales.findIndex((scale) => !isScale(scale));
  if (at >= 0) throw badScale(place(source, file), name, at, scales.length, scales[at] as number);
  return scales;
}

/** The largest rounding of a code, as a share of its block's scale: half of the widest gap in bitsandbytes' map, and a little. */
const CODE_ROUNDING = 0.01;

/** Requires that every scale, decoded, is finite and not negative by more than the rounding of its code. @throws DataError */
function requireDecodable(state: Extract<QuantState, { nested: true }>, file: string, name: string): void {
  const { codes, nestedAbsmax, offset, dynamicCode } = state;
  for (let i = 0; i < codes.length; i++) {
    const largest = nestedAbsmax[Math.floor(i / NESTED_BLOCK_SIZE)] as number;
    const scale = Math.fround((dynamicCode[codes[i] as number] as number) * largest + offset);
    if (!isScale(scale + CODE_ROUNDING * largest)) throw badScale(file, name, i, codes.length, scale);
  }
}

const isScale = (scale: number): boolean => scale >= 0 && scale < Infinity;

function badScale(file: string, name: string, at: number, count: number, scale: number): DataError {
  return new DataError(
    file,
    `${name}: scale ${at} of ${count} is ${scale}; scales of a quantized weight are finite and not negative. The checkpoint is damaged: fetch it again, or quantize the 16-bit model again.`,
  );
}
