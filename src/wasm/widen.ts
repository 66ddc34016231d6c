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

/** IEEE 754 binary16; what is not finite never gets here, since no block with it is quantized. */
function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return (bits & 0x8000) === 0 ? size : -size;
}
