/** Converts stored floats to another float type, a slab at a time. */
import { KernelCallError } from '../errors.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { type FloatDtype, floatType, type TorchFloat } from '../formats/dtype.ts';
import { narrow, widen } from '../wasm/buffers.ts';
import type { Codec } from '../wasm/codec.ts';
import type { SlabReader } from '../wasm/types.ts';

/** Converts raw elements from one float type to another: exact where it widens, one rounding where it narrows. */
export function convert(
  codec: Codec,
  raw: Uint8Array<ArrayBuffer>,
  from: FloatDtype,
  to: TorchFloat,
): Uint8Array<ArrayBuffer> {
  const stored = floatType(from).torch;
  if (stored === to) return raw;
  const values = stored === 'float32' ? alignedFloats(raw) : widen(codec, raw, stored);
  return to === 'float32' ? new Uint8Array(values.buffer) : narrow(codec, values, to);
}

function alignedFloats(raw: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  if (raw.byteLength % 4 !== 0) throw new KernelCallError('convert', `${raw.byteLength} bytes are no whole f32 values`);
  return raw.byteOffset % 4 === 0
    ? new Float32Array(raw.buffer, raw.byteOffset, raw.byteLength / 4)
    : new Float32Array(raw.slice().buffer);
}

/** Makes a reader of slabs of `name`, converted from `stored` to `to`. */
export function slabReader(
  codec: Codec,
  source: TensorSource,
  name: string,
  stored: FloatDtype,
  to: TorchFloat,
): SlabReader {
  const [from, { bytes: toSize }] = [floatType(stored), floatType(to)];
  if (from.torch === to) return (byteOffset, into) => source.read(name, byteOffset, into);
  return async (byteOffset, into) => {
    const raw = new Uint8Array((into.byteLength / toSize) * from.bytes);
    await source.read(name, (byteOffset / toSize) * from.bytes, raw);
    into.set(convert(codec, raw, stored, to));
  };
}
