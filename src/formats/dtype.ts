/** Element types of a safetensors file, and the three float types that models use, widened to f32. */

/** Bytes per element, in the order in which the reference writer stores tensors of different types. */
export const DTYPE_BYTES = {
  U64: 8,
  I64: 8,
  F64: 8,
  C64: 8,
  F32: 4,
  U32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  U16: 2,
  I16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;
export type FloatDtype = 'F32' | 'F16' | 'BF16';

/** Names as config.json, adapter and quantization records spell them. */
export type TorchFloat = 'float32' | 'float16' | 'bfloat16';
export const TORCH_FLOATS: Readonly<Record<TorchFloat, FloatDtype>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
};

export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

export function isTorchFloat(value: unknown): value is TorchFloat {
  return typeof value === 'string' && Object.hasOwn(TORCH_FLOATS, value);
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((n, size) => n * size, 1);
}

/** Little-endian bytes of `dtype` as f32. Exact: every f16 and bf16 value is an f32 value. */
export function widenToF32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  // a fresh copy starts at offset 0, so any view of it is aligned
  const own = bytes.slice().buffer;
  if (dtype === 'F32') return new Float32Array(own);
  const halves = new Uint16Array(own);
  if (dtype === 'F16') return Float32Array.from(halves, f16ToNumber);
  return new Float32Array(Uint32Array.from(halves, (bits) => (bits << 16) >>> 0).buffer);
}

function f16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
