/** Double quantization: absmax to 8-bit codes around its mean and back, and the dynamic 8-bit code for any f32 data. */
import { DataError, KernelCallError } from '../errors.ts';
import { type Codec, MAX_SLAB_BYTES, REGION } from './codec.ts';
import { DYNAMIC_CODE } from './tables.ts';
import { NESTED_BLOCK_SIZE, type QuantState } from './types.ts';

export type DynamicCodes = {
  readonly codes: Uint8Array<ArrayBuffer>;
  readonly absmax: Float32Array<ArrayBuffer>;
};

/** Counts the elements of a slab, rounded down to whole blocks. */
function slabElements(blockSize: number): number {
  const most = MAX_SLAB_BYTES / 4;
  // the region has room for one absmax for every 8 elements
  if (!Number.isSafeInteger(blockSize) || blockSize < 8 || blockSize > most) {
    throw new KernelCallError('dynamic 8-bit code', `got block size ${blockSize}, needs 8 to ${most}`);
  }
  return Math.floor(most / blockSize) * blockSize;
}

/**
 * Encodes `values - offset` in blocks with the signed dynamic 8-bit code: the nearest entry of DYNAMIC_CODE after scaling
 * by the block's largest magnitude. An exact tie goes to the even index, as in bitsandbytes' CUDA kernel.
 * `offset` is rounded to f32.
 * @throws DataError naming the first element that is NaN or infinite
 */
export function quantizeDynamic8bit(
  codec: Codec,
  values: Float32Array,
  { blockSize = NESTED_BLOCK_SIZE, offset = 0, name = 'values' } = {},
): DynamicCodes {
  const slab = slabElements(blockSize);
  const codes = new Uint8Array(values.length);
  const absmax = new Float32Array(Math.ceil(values.length / blockSize));
  const base = codec.region(0);
  const [source, packed, scales] = [base + REGION.source, base + REGION.packed, base + REGION.absmax];
  for (let start = 0; start < values.length; start += slab) {
    const part = values.subarray(start, start + slab);
    codec.floats(source, part.length).set(part);
    const bad = codec.wasm.quantizeDynamic8bit(source, part.length, blockSize, offset, packed, scales);
    if (bad >= 0) {
      throw new DataError(
        name,
        `element ${start + bad} is ${part[bad]} after subtracting ${offset}, needs to be finite`,
      );
    }
    codes.set(codec.bytes(packed, part.length), start);
    absmax.set(codec.floats(scales, Math.ceil(part.length / blockSize)), start / blockSize);
  }
  return { codes, absmax };
}

/** Decodes dynamicCode[codes[i]] * absmax[i / blockSize] + offset, rounded to f32 after each of the two operations. */
export function dequantizeDynamic8bit(
  codec: Codec,
  { codes, absmax }: { readonly codes: Uint8Array; readonly absmax: Float32Array },
  { blockSize = NESTED_BLOCK_SIZE, offset = 0, dynamicCode = DYNAMIC_CODE } = {},
): Float32Array<ArrayBuffer> {
  const slab = slabElements(blockSize);
  const blocks = Math.ceil(codes.length / blockSize);
  if (absmax.length !== blocks) {
    throw new KernelCallError('dequantizeDynamic8bit', `got ${absmax.length} absmax values, needs ${blocks}`);
  }
  const values = new Float32Array(codes.length);
  const map = mapAddress(codec, dynamicCode);
  const base = codec.region(0);
  const [target, packed, scales] = [base + REGION.source, base + REGION.packed, base + REGION.absmax];
  for (let start = 0; start < codes.length; start += slab) {
    const part = codes.subarray(start, start + slab);
    const first = start / blockSize;
    codec.bytes(packed, part.length).set(part);
    const used = absmax.subarray(first, first + Math.ceil(part.length / blockSize));
    codec.floats(scales, used.length).set(used);
    codec.wasm.dequantizeDynamic8bit(packed, part.length, blockSize, scales, offset, map, target);
    values.set(codec.floats(target, part.length), start);
  }
  return values;
}

/** Gives the address of a map in the module's memory: its own, or a given one that is copied in. */
function mapAddress(codec: Codec, dynamicCode: Float32Array): number {
  if (dynamicCode === DYNAMIC_CODE) return codec.wasm.dynamicCode();
  if (dynamicCode.length !== DYNAMIC_CODE.length)
    throw new KernelCallError('dequantizeDynamic8bit', `got a map of ${dynamicCode.length} values, needs 256`);
  const address = codec.wasm.givenCode();
  codec.floats(address, dynamicCode.length).set(dynamicCode);
  return address;
}

/** Computes the mean in f64, in index order, rounded once to f32: the same for every size of slabs. */
function meanF32(codec: Codec, values: Float32Array): number {
  const address = codec.region(0);
  let sum = 0;
  for (let start = 0; start < values.length; start += MAX_SLAB_BYTES / 4) {
    const part = values.subarray(start, start + MAX_SLAB_BYTES / 4);
    codec.floats(address, part.length).set(part);
    sum = codec.wasm.sumF32(address, part.length, sum);
  }
  return Math.fround(sum / values.length);
}

/** Turns a tensor's absmax into the state that is kept with its packed codes. Uses region 0. */
export function quantState(
  codec: Codec,
  absmax: Float32Array<ArrayBuffer>,
  packedBytes: number,
  doubleQuant: boolean,
): QuantState {
  if (!doubleQuant) return { nested: false, packedBytes, absmax };
  const offset = meanF32(codec, absmax);
  const { codes, absmax: nestedAbsmax } = quantizeDynamic8bit(codec, absmax, { offset, name: 'absmax' });
  return { nested: true, packedBytes, codes, nestedAbsmax, offset, dynamicCode: DYNAMIC_CODE };
}

/** Decodes the f32 absmax of each block. */
export function decodedAbsmax(codec: Codec, state: QuantState): Float32Array<ArrayBuffer> {
  if (!state.nested) return state.absmax;
  const nested = { codes: state.codes, absmax: state.nestedAbsmax };
  return dequantizeDynamic8bit(codec, nested, state);
}
