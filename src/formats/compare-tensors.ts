/** Compares two stored tensors in slabs, so that neither is ever held whole. */
import type { TensorSource } from './checkpoint.ts';
import { DTYPE_BYTES, elementCount, type FloatDtype, widenToF32 } from './dtype.ts';

/** Elements compared at once. */
export const COMPARED_AT_ONCE = 2 ** 20;

export type TensorAt = { readonly source: TensorSource; readonly name: string };
export type Difference = { readonly index: number; readonly a: number; readonly b: number };

/**
 * Finds the first element in which two float tensors of one shape differ, and both values; null where none does. Types may
 * differ, since values count; both zeros are equal.
 */
export async function firstDifference(a: TensorAt, b: TensorAt): Promise<Difference | null> {
  const elements = elementCount(a.source.info(a.name).shape);
  for (let first = 0; first < elements; first += COMPARED_AT_ONCE) {
    const count = Math.min(COMPARED_AT_ONCE, elements - first);
    const [left, right] = [await floatsAt(a, first, count), await floatsAt(b, first, count)];
    for (let i = 0; i < count; i++)
      if (left[i] !== right[i]) return { index: first + i, a: left[i] as number, b: right[i] as number };
  }
  return null;
}

async function floatsAt({ source, name }: TensorAt, first: number, count: number): Promise<Float32Array> {
  const dtype = source.info(name).dtype as FloatDtype;
  const raw = new Uint8Array(count * DTYPE_BYTES[dtype]);
  await source.read(name, first * DTYPE_BYTES[dtype], raw);
  return widenToF32(raw, dtype);
}
