/** Symbolic tensors: a label, a shape and a dtype over a storage that gets its buffer later, or (in an estimate) never. */
import { KernelCallError } from '../errors.ts';
import type { Category } from './category.ts';
import { BINDING_ALIGNMENT } from './device-profile.ts';

/** `u8` and `bf16` are stored packed in 32-bit words; kernels read them as u32. */
export type Dtype = 'f32' | 'f16' | 'bf16' | 'u32' | 'i32' | 'u8';

const BYTES_PER_ELEMENT: Record<Dtype, number> = { f32: 4, f16: 2, bf16: 2, u32: 4, i32: 4, u8: 1 };

export function bytesOf(dtype: Dtype, elements: number): number {
  return elements * BYTES_PER_ELEMENT[dtype];
}

/**
 * What holds bytes. Resident storages live from load to the end and own a buffer each; planned ones live from their first
 * to their last command in a plan and share arena slots with others whose lives do not overlap.
 */
export type Storage = {
  readonly label: string;
  readonly category: Category;
  readonly bytes: number;
  readonly resident: boolean;
};

export class Tensor {
  readonly label: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly storage: Storage;
  readonly byteOffset: number;
  /** Whether backward has to produce a gradient for it. */
  readonly requiresGrad: boolean;
  /** Whether the one who reads its gradient takes it in f16 as well. */
  readonly halfGrad: boolean;

  constructor(init: {
    label: string;
    shape: readonly number[];
    dtype: Dtype;
    storage: Storage;
    byteOffset?: number;
    requiresGrad?: boolean;
    halfGrad?: boolean;
  }) {
    this.label = init.label;
    this.shape = init.shape;
    this.dtype = init.dtype;
    this.storage = init.storage;
    this.byteOffset = init.byteOffset ?? 0;
    this.requiresGrad = init.requiresGrad ?? false;
    this.halfGrad = init.halfGrad ?? false;
    if (this.byteOffset + this.bytes > this.storage.bytes) {
      throw new KernelCallError(this.label, `needs ${this.byteOffset + this.bytes} bytes of ${this.storage.bytes}`);
    }
  }

  get elements(): number {
    return this.shape.reduce((product, n) => product * n, 1);
  }

  get bytes(): number {
    return bytesOf(this.dtype, this.elements);
  }

  /** Rows [start, start + count) of a row-major tensor, over the same storage. */
  rows(start: number, count: number): Tensor {
    const [rowCount = 1, ...rest] = this.shape;
    if (start === 0 && count === rowCount) return this;
    const rowElements = this.elements / rowCount;
    return this.#view(start * rowElements, [count, ...rest], `rows ${start}..${start + count} of ${rowCount}`);
  }

  /** `count` elements from the flat index `start`, over the same storage. */
  slice(start: number, count: number): Tensor {
    return this.#view(start, [count], `elements ${start}..${start + count} of ${this.elements}`);
  }

  /** The same bytes under another shape of no more elements. */
  reshaped(shape: readonly number[]): Tensor {
    return this.#view(0, shape, `shape (${shape.join(', ')})`);
  }

  #view(start: number, shape: readonly number[], what: string): Tensor {
    const count = shape.reduce((product, n) => product * n, 1);
    if (start < 0 || start + count > this.elements) throw new KernelCallError(this.label, `has no ${what}`);
    const byteOffset = this.byteOffset + bytesOf(this.dtype, start);
    if (byteOffset % BINDING_ALIGNMENT !== 0) {
      throw new KernelCallError(
        this.label,
        `${what} start at byte ${byteOffset}, not at a multiple of ${BINDING_ALIGNMENT}`,
      );
    }
    const { label, dtype, storage, requiresGrad } = this;
    return new Tensor({ label, dtype, storage, requiresGrad, shape, byteOffset });
  }
}
