/** Looks for what is not finite in raw little-endian floats. */
import type { TorchFloat } from '../../formats/dtype.ts';

const EXPONENT: Record<TorchFloat, number> = { float32: 0x7f800000, float16: 0x7c00, bfloat16: 0x7f80 };

/** Index of the first element that is NaN or infinite, or -1. */
export function nonFiniteAt(raw: Uint8Array, dtype: TorchFloat): number {
  const own = raw.byteOffset % 4 === 0 ? raw : raw.slice();
  const mask = EXPONENT[dtype];
  const elements =
    dtype === 'float32'
      ? new Uint32Array(own.buffer, own.byteOffset, own.byteLength / 4)
      : new Uint16Array(own.buffer, own.byteOffset, own.byteLength / 2);
  for (let i = 0; i < elements.length; i++) if (((elements[i] as number) & mask) === mask) return i;
  return -1;
}
