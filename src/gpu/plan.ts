/** Plans the arena slots of a list of commands, from the lifetimes of its planned storages: those that never meet share a buffer. */
import { KernelCallError } from '../errors.ts';
import { CATEGORIES, type Category } from './category.ts';
import type { Command } from './command.ts';
import type { Storage, Tensor } from './tensor.ts';

/** A buffer of the arena: the index counts within its category. */
export type SlotRef = { readonly category: Category; readonly index: number };

export type Plan = {
  readonly name: string;
  readonly commands: readonly Command[];
  readonly slotOf: ReadonlyMap<Storage, SlotRef>;
  /** Slot sizes in bytes by category, largest first. */
  readonly slotBytes: ReadonlyMap<Category, readonly number[]>;
};

type Life = { readonly storage: Storage; readonly first: number; last: number };

export function makePlan(name: string, commands: readonly Command[]): Plan {
  const lives = lifetimes(commands);
  const slotOf = new Map<Storage, SlotRef>();
  const slotBytes = new Map<Category, number[]>();
  for (const category of CATEGORIES) {
    const sizes = assignSlots(
      category,
      lives.filter((l) => l.storage.category === category),
      slotOf,
    );
    if (sizes.length > 0) slotBytes.set(category, sizes);
  }
  return { name, commands, slotOf, slotBytes };
}

function lifetimes(commands: readonly Command[]): Life[] {
  const lives = new Map<Storage, Life>();
  const touch = (tensor: Tensor, index: number, writes: boolean): void => {
    const { storage } = tensor;
    if (storage.resident) return;
    const life = lives.get(storage);
    if (life !== undefined) life.last = index;
    else if (!writes) throw new KernelCallError(tensor.label, 'is read before any command wrote it');
    else lives.set(storage, { storage, first: index, last: index });
  };
  commands.forEach((command, index) => {
    if (command.kind === 'dispatch') {
      for (const b of command.bindings) touch(b.tensor, index, b.writable);
    } else if (command.kind === 'copy') {
      touch(command.from, index, false);
      touch(command.to, index, true);
    } else touch(command.tensor, index, true);
  });
  return [...lives.values()];
}

/**
 * Greedy by size: the largest storage first, each into the tightest slot whose tenants it never meets. A slot holds one tenant
 * at a time, so the inputs and outputs of a dispatch, being alive together, never share a buffer.
 */
function assignSlots(category: Category, lives: readonly Life[], slotOf: Map<Storage, SlotRef>): number[] {
  const slots: { bytes: number; tenants: Life[] }[] = [];
  const bySize = [...lives].sort((a, b) => b.storage.bytes - a.storage.bytes || a.first - b.first);
  for (const life of bySize) {
    // slots only get smaller, so the last free one is the tightest fit
    let index = slots.findLastIndex((s) => s.tenants.every((t) => t.last < life.first || life.last < t.first));
    if (index < 0) index = slots.push({ bytes: life.storage.bytes, tenants: [] }) - 1;
    slots[index]?.tenants.push(life);
    slotOf.set(life.storage, { category, index });
  }
  return slots.map((s) => s.bytes);
}
