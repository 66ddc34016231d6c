/** One set of slots that all plans share: slot i of a category is as large as the largest slot i of any plan. */
import { KernelCallError } from '../errors.ts';
import type { Allocation, Allocator } from './allocator.ts';
import { CATEGORIES, type Category } from './category.ts';
import type { Plan } from './plan.ts';
import type { Storage } from './tensor.ts';

export class Arena {
  readonly #slots = new Map<Category, Allocation[]>();
  readonly #allocator: Allocator;

  /** Allocates the slots that `plans` need together. */
  constructor(allocator: Allocator, plans: readonly Plan[]) {
    this.#allocator = allocator;
    for (const category of CATEGORIES) {
      const sizes: number[] = [];
      for (const plan of plans) {
        plan.slotBytes.get(category)?.forEach((bytes, i) => {
          sizes[i] = Math.max(sizes[i] ?? 0, bytes);
        });
      }
      this.#slots.set(
        category,
        sizes.map((bytes, i) => allocator.allocate({ label: `arena.${category}[${i}]`, category, bytes })),
      );
    }
  }

  allocationOf(plan: Plan, storage: Storage): Allocation {
    const ref = plan.slotOf.get(storage);
    const slot = ref && this.#slots.get(ref.category)?.[ref.index];
    if (slot === undefined || slot.sizeBytes < storage.bytes) {
      throw new KernelCallError(storage.label, `plan ${plan.name} was not among those the arena was made for`);
    }
    return slot;
  }

  destroy(): void {
    for (const slot of [...this.#slots.values()].flat()) this.#allocator.free(slot);
    this.#slots.clear();
  }
}
