/** Finds NaNs and infinities in raw little-endian floats. */
import type { TorchFloat } from '../../formats/dtype.ts';
import { FLOAT_LAYOUT } from '../../wasm/types.ts';

/** Finds the first element that is NaN or infinite: its index, or -1. */
export function nonFiniteAt(raw: Uint8Array, dtype: TorchFloat): number {
  const own = raw.byteOffset % 4 === 0 ? raw : raw.slice();
  const { bytes, exponent: mask } = FLOAT_LAYOUT[dtype];
  const elements =
    bytes === 4
      ? new Uint32Array(own.buffer, own.byteOffset, own.byteLength / 4)
      : new Uint16Array(own.buffer, own.byteOffset, own.byteLength / 2);
  for (let i = 0; i < elements.length; i++) if (((elements[i] as number) & mask) === mask) return i;
  return -1;
}
