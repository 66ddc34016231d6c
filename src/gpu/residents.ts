/** Resident storages (weights, adapters, moments, tables, inputs): a buffer each, from load to the end. */
import { KernelCallError } from '../errors.ts';
import type { Allocation, Allocator } from './allocator.ts';
import type { Category } from './category.ts';
import { bytesOf, type Dtype, type Storage, Tensor } from './tensor.ts';

export class Residents {
  readonly allocator: Allocator;
  readonly #allocations = new Map<Storage, Allocation>();

  constructor(allocator: Allocator) {
    this.allocator = allocator;
  }

  /** Allocates a buffer for one tensor. */
  tensor(init: {
    label: string;
    shape: readonly number[];
    dtype: Dtype;
    category: Category;
    requiresGrad?: boolean;
    usage?: 'storage' | 'uniform';
  }): Tensor {
    const { label, shape, dtype, category, requiresGrad = false, usage = 'storage' } = init;
    const bytes = bytesOf(
      dtype,
      shape.reduce((p, n) => p * n, 1),
    );
    const storage = this.storage({ label, category, bytes, usage });
    return new Tensor({ label, shape, dtype, storage, requiresGrad });
  }

  /** Allocates a buffer that several tensors will share at offsets; `paddingBytes` of it are alignment between them. */
  storage(init: {
    label: string;
    category: Category;
    bytes: number;
    paddingBytes?: number;
    usage?: 'storage' | 'uniform';
  }): Storage {
    const { label, category, bytes, paddingBytes = 0, usage = 'storage' } = init;
    const storage: Storage = { label, category, bytes, resident: true };
    this.#allocations.set(storage, this.allocator.allocate({ label, category, bytes, paddingBytes, usage }));
    return storage;
  }

  allocationOf(storage: Storage): Allocation {
    const allocation = this.#allocations.get(storage);
    if (allocation === undefined) throw new KernelCallError(storage.label, 'is not resident here');
    return allocation;
  }

  destroy(): void {
    for (const allocation of this.#allocations.values()) this.allocator.free(allocation);
    this.#allocations.clear();
  }
}
