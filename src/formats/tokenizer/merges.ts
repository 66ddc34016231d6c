/** The merges of a BPE model by the ids of their pair, in flat arrays: half a million of them are looked up by the million. */

const EMPTY = -1;

export class MergeTable {
  readonly #mask: number;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #ranks: Int32Array;
  readonly #merged: Int32Array;

  /** @param count how many pairs will be put in at most */
  constructor(count: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(2, count * 2)));
    this.#mask = slots - 1;
    this.#left = new Int32Array(slots).fill(EMPTY);
    this.#right = new Int32Array(slots);
    this.#ranks = new Int32Array(slots);
    this.#merged = new Int32Array(slots);
  }

  /** A pair that is there already takes the later rank, as in Rust's map. */
  set(left: number, right: number, rank: number, merged: number): void {
    const slot = this.#slot(left, right);
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.#ranks[slot] = rank;
    this.#merged[slot] = merged;
  }

  /** -1 for a pair that does not merge. */
  rank(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#left[slot] === EMPTY ? -1 : this.#ranks[slot]!;
  }

  merged(left: number, right: number): number {
    return this.#merged[this.#slot(left, right)]!;
  }

  #slot(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (this.#left[slot] !== EMPTY && (this.#left[slot] !== left || this.#right[slot] !== right))
      slot = (slot + 1) & this.#mask;
    return slot;
  }
}
