/** Element types: those of a safetensors file, and the three float types of weights under all the names they go by. */
import { KernelCallError } from '../errors.ts';
import { widenerOf } from '../wasm/widen.ts';

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

/**
 * The float types of weights: PyTorch's name (config.json, quantization records, settings, the WASM codec), the name in a
 * safetensors header, and the name in GPU memory.
 */
const FLOAT_TYPES = [
  { torch: 'float32', safetensors: 'F32', gpu: 'f32', bytes: DTYPE_BYTES.F32 },
  { torch: 'float16', safetensors: 'F16', gpu: 'f16', bytes: DTYPE_BYTES.F16 },
  { torch: 'bfloat16', safetensors: 'BF16', gpu: 'bf16', bytes: DTYPE_BYTES.BF16 },
] as const;

type Row = (typeof FLOAT_TYPES)[number];
export type TorchFloat = Row['torch'];
export type FloatDtype = Row['safetensors'];
export type GpuFloat = Row['gpu'];
type FloatName = TorchFloat | FloatDtype | GpuFloat;
type FloatType<Name> = Extract<Row, { torch: Name } | { safetensors: Name } | { gpu: Name }>;

const BY_NAME: ReadonlyMap<string, Row> = new Map(
  FLOAT_TYPES.flatMap((row) => [row.torch, row.safetensors, row.gpu].map((name) => [name, row] as const)),
);

/** PyTorch's names of the float types, as messages list them. */
export const TORCH_FLOATS: readonly TorchFloat[] = FLOAT_TYPES.map(({ torch }) => torch);

/** Looks a float type up by any of its names; `bytes` is the size of an element. */
export function floatType<Name extends FloatName>(name: Name): FloatType<Name> {
  const found = BY_NAME.get(name);
  if (found === undefined) throw new KernelCallError('floatType', `${name} is no float type`);
  return found as FloatType<Name>;
}

export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return BY_NAME.get(dtype)?.safetensors === dtype;
}

export function isTorchFloat(value: unknown): value is TorchFloat {
  return typeof value === 'string' && BY_NAME.get(value)?.torch === value;
}

/** Elements of a tensor of this shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((n, size) => n * size, 1);
}

/** Views f32 values as their little-endian bytes. */
export function rawBytes({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** Reads little-endian bytes of `dtype` as f32. Exact: every f16 and bf16 value is an f32 value. */
export function widenToF32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  // a fresh copy starts at offset 0, so any view of it is aligned
  return widenerOf(floatType(dtype).torch)(bytes.slice());
}
