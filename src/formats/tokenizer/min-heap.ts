/** A binary heap of numbers in one flat array: the lowest comes out first. */
export class MinHeap {
  #items: Float64Array;
  #size = 0;

  constructor(capacity: number) {
    this.#items = new Float64Array(Math.max(4, capacity));
  }

  get size(): number {
    return this.#size;
  }

  push(item: number): void {
    if (this.#size === this.#items.length) this.#grow();
    const items = this.#items;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]! <= item) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  /** The heap must not be empty. */
  pop(): number {
    const items = this.#items;
    const lowest = items[0]!;
    const item = items[--this.#size]!;
    const size = this.#size;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= item) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
    return lowest;
  }

  #grow(): void {
    const items = new Float64Array(this.#items.length * 2);
    items.set(this.#items);
    this.#items = items;
  }
}
