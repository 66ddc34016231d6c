/** Raw bytes of any float type as numbers, quickly: a view where the type allows, else one pass. */
import type { SourceDtype } from './types.ts';

type Widener = (bytes: Uint8Array) => Float32Array;

/** Gives the function that reads a dtype. Its result may be a view of the bytes, whose offset is a multiple of an element. */
export function widenerOf(dtype: SourceDtype): Widener {
  if (dtype === 'float32') return (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  return dtype === 'bfloat16' ? widenBrain : widenHalf;
}

const halvesOf = (bytes: Uint8Array): Uint16Array =>
  new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);

function widenBrain(bytes: Uint8Array): Float32Array {
  const halves = halvesOf(bytes);
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

function widenHalf(bytes: Uint8Array): Float32Array {
  const halves = halvesOf(bytes);
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = halfValue(halves[i] as number);
  return values;
}

/** IEEE 754 binary16. */
function halfValue(bits: number): number {
  const size = halfSize((bits >> 10) & 0x1f, bits & 0x3ff);
  return (bits & 0x8000) === 0 ? size : -size;
}

function halfSize(exponent: number, fraction: number): number {
  if (exponent === 0) return fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  return (1024 + fraction) * 2 ** (exponent - 25);
}
