/** Quantization and conversion of whole buffers, for tests and for writing files: all in memory, nothing streamed. */
import { KernelCallError } from '../errors.ts';
import { type Codec, checkQuantCall, dtypeCode, MAX_SLAB_BYTES, quantTypeCode, REGION } from './codec.ts';
import { decodedAbsmax, quantState } from './nested.ts';
import { LocalLane } from './quantizer.ts';
import { nonFiniteError } from './slabs.ts';
import { bytesPerElement, type QuantSpec, type QuantState, type SourceDtype } from './types.ts';

export type Quantized = { readonly packed: Uint8Array<ArrayBuffer>; readonly state: QuantState };

/**
 * Quantizes the raw little-endian elements in `raw`.
 * @returns ceil(n / 2) packed bytes, element 2k in the high nibble of byte k, and the state that decodes them
 * @throws DataError naming the first element that is NaN or infinite
 */
export function quantize4bit(
  codec: Codec,
  raw: Uint8Array,
  dtype: SourceDtype,
  spec: QuantSpec,
  name = 'tensor',
): Quantized {
  const size = bytesPerElement(dtype);
  const elements = raw.byteLength / size;
  checkQuantCall(`quantize4bit(${name})`, elements, spec);
  const packed = new Uint8Array(Math.ceil(elements / 2));
  const absmax = new Float32Array(Math.ceil(elements / spec.blockSize));
  const lane = new LocalLane(codec, 0);
  const slab = MAX_SLAB_BYTES / size;
  for (let first = 0; first < elements; first += slab) {
    const part = raw.subarray(first * size, (first + slab) * size);
    lane.source(part.byteLength).set(part);
    const result = lane.quantizeNow({ elements: part.byteLength / size, dtype, spec });
    if (result.badIndex >= 0) {
      throw nonFiniteError(name, dtype, result.source, result.badIndex, first + result.badIndex, elements);
    }
    packed.set(result.packed, first / 2);
    absmax.set(result.absmax, first / spec.blockSize);
  }
  return { packed, state: quantState(codec, absmax, packed.byteLength, spec.doubleQuant) };
}

/**
 * Decodes `elements` values to raw little-endian elements of `dtype`: code * absmax in f32, then one rounding.
 * @throws KernelCallError when packed bytes or absmax do not fit the element count
 */
export function dequantize4bit(
  codec: Codec,
  { packed, state }: Quantized,
  elements: number,
  spec: Pick<QuantSpec, 'quantType' | 'blockSize'>,
  dtype: SourceDtype,
): Uint8Array<ArrayBuffer> {
  checkQuantCall('dequantize4bit', elements, { ...spec, doubleQuant: state.nested });
  const absmax = decodedAbsmax(codec, state);
  const blocks = Math.ceil(elements / spec.blockSize);
  if (packed.byteLength !== Math.ceil(elements / 2) || absmax.length !== blocks) {
    throw new KernelCallError(
      'dequantize4bit',
      `got ${packed.byteLength} packed bytes and ${absmax.length} absmax values, needs ${Math.ceil(elements / 2)} and ${blocks}`,
    );
  }
  const size = bytesPerElement(dtype);
  const raw = new Uint8Array(elements * size);
  const base = codec.region(0);
  const [target, nibbles, scales] = [base + REGION.source, base + REGION.packed, base + REGION.absmax];
  const slab = MAX_SLAB_BYTES / size;
  for (let first = 0; first < elements; first += slab) {
    const count = Math.min(slab, elements - first);
    codec.bytes(nibbles, Math.ceil(count / 2)).set(packed.subarray(first / 2, Math.ceil((first + count) / 2)));
    const used = absmax.subarray(first / spec.blockSize, Math.ceil((first + count) / spec.blockSize));
    codec.floats(scales, used.length).set(used);
    const code = quantTypeCode(spec.quantType);
    codec.wasm.dequantize4bit(code, dtypeCode(dtype), nibbles, count, spec.blockSize, scales, target);
    raw.set(codec.bytes(target, count * size), first * size);
  }
  return raw;
}

/** Widens raw 16-bit floats to f32, exactly; infinities and NaNs keep sign and payload. */
export function widen(
  codec: Codec,
  raw: Uint8Array,
  dtype: Exclude<SourceDtype, 'float32'>,
): Float32Array<ArrayBuffer> {
  const elements = raw.byteLength / 2;
  const values = new Float32Array(elements);
  const [source, target] = [codec.region(0), codec.region(1)];
  const slab = MAX_SLAB_BYTES / 4;
  for (let first = 0; first < elements; first += slab) {
    const count = Math.min(slab, elements - first);
    codec.bytes(source, count * 2).set(raw.subarray(first * 2, (first + count) * 2));
    codec.wasm.widen(dtypeCode(dtype), source, count, target);
    // as bytes: copying NaNs as numbers may change their payload
    const bytes = new Uint8Array(values.buffer, first * 4, count * 4);
    bytes.set(codec.bytes(target, count * 4));
  }
  return values;
}

/** Narrows f32 to raw 16-bit floats, round to nearest even; too large becomes infinity, NaN stays a (quiet) NaN. */
export function narrow(
  codec: Codec,
  values: Float32Array,
  dtype: Exclude<SourceDtype, 'float32'>,
): Uint8Array<ArrayBuffer> {
  const raw = new Uint8Array(values.length * 2);
  const [source, target] = [codec.region(0), codec.region(1)];
  const slab = MAX_SLAB_BYTES / 4;
  for (let first = 0; first < values.length; first += slab) {
    const count = Math.min(slab, values.length - first);
    const bytes = new Uint8Array(values.buffer, values.byteOffset + first * 4, count * 4);
    codec.bytes(source, count * 4).set(bytes);
    codec.wasm.narrow(dtypeCode(dtype), source, count, target);
    raw.set(codec.bytes(target, count * 2), first * 2);
  }
  return raw;
}
