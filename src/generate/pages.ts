/** Which pages of a cache are free: sequences take theirs as they start and give them back as they end. Pure. */
import { KernelCallError } from '../errors.ts';

export class PagePool {
  readonly pages: number;
  readonly #free: number[];

  constructor(pages: number) {
    this.pages = pages;
    // the lowest first: pages lie side by side while the cache is empty
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
  }

  get free(): number {
    return this.#free.length;
  }

  /** Takes `count` pages; null where fewer are free. */
  take(count: number): number[] | null {
    return count > this.#free.length ? null : this.#free.splice(this.#free.length - count, count).reverse();
  }

  /** @throws KernelCallError for more pages than there are: some were given back twice */
  give(pages: readonly number[]): void {
    for (const page of pages.toReversed()) this.#free.push(page);
    if (this.#free.length > this.pages) throw new KernelCallError('page pool', 'pages were given back twice');
  }
}

/** Pages that `tokens` tokens fill. */
export const pagesFor = (tokens: number, pageTokens: number): number => Math.ceil(tokens / pageTokens);
