/** Finds NaNs and infinities in weights, and says where they are. */
import { DataError } from '../errors.ts';
import { FLOAT_LAYOUT } from '../wasm/types.ts';
import { rawBytes, type TorchFloat } from './dtype.ts';

/** Words looked at between two looks at what was found. */
const STRIDE = 1024;

/** Finds the first element of raw little-endian floats that is NaN or infinite: its index, or -1. */
export function nonFiniteAt(raw: Uint8Array, dtype: TorchFloat): number {
  const own = raw.byteOffset % 4 === 0 ? raw : raw.slice();
  const words = new Int32Array(own.buffer, own.byteOffset, Math.floor(own.byteLength / 4));
  let from = 0;
  while (from < words.length && !anyNonFinite(words.subarray(from, from + STRIDE), dtype)) from += STRIDE;
  return firstFrom(own, Math.min(from, words.length), dtype);
}

/** An exponent of all ones, and no other, carries into the bit of the sign when its lowest bit is added; halves go in pairs. */
function anyNonFinite(words: Int32Array, dtype: TorchFloat): boolean {
  const { bytes, exponent, mantissa } = FLOAT_LAYOUT[dtype];
  const lanes = bytes === 4 ? 1 : 0x10001;
  const [mask, lowest] = [exponent * lanes, (mantissa + 1) * lanes];
  let carried = 0;
  for (let i = 0; i < words.length; i++) carried |= (((words[i] as number) & mask) + lowest) | 0;
  return (carried & (mask + lowest)) !== 0;
}

/** Looks at one element after the other from a word on. */
function firstFrom(raw: Uint8Array, word: number, dtype: TorchFloat): number {
  const { bytes, exponent } = FLOAT_LAYOUT[dtype];
  const elements =
    bytes === 4
      ? new Uint32Array(raw.buffer, raw.byteOffset, raw.byteLength / bytes)
      : new Uint16Array(raw.buffer, raw.byteOffset, raw.byteLength / bytes);
  for (let i = (4 * word) / bytes; i < elements.length; i++)
    if (((elements[i] as number) & exponent) === exponent) return i;
  return -1;
}

/** Requires f32 values without NaNs and infinities. @throws DataError naming the tensor and its first such element */
export function requireFinite(tensor: string, values: Float32Array, stored: TorchFloat = 'float32'): void {
  const at = nonFiniteAt(rawBytes(values), 'float32');
  if (at >= 0) throw nonFinite(tensor, { element: at, elements: values.length, stored, value: values[at] as number });
}

export type NonFinite = {
  /** Index in the flat tensor, and how many elements that has. */
  readonly element: number;
  readonly elements: number;
  readonly stored: TorchFloat;
  readonly value: number;
};

export function nonFinite(tensor: string, { element, elements, stored, value }: NonFinite): DataError {
  return new DataError(
    tensor,
    `element ${element} of ${elements} (${stored}) is ${value}; all weights must be finite. Was the checkpoint damaged, or saved from a run that diverged?`,
  );
}
