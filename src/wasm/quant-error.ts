/** How far a quantized tensor is from what it was made of: RMSE and cosine, while its slabs go by. */
import { CODE_BOOKS } from './tables.ts';
import type { QuantSpec, SourceDtype } from './types.ts';
import { widenerOf } from './widen.ts';

/** Root of the mean squared error, in the weights' own unit; cosine of the angle between the weights before and after. */
export type QuantError = { readonly rmse: number; readonly cosine: number };

/**
 * Sums w c and c^2 by block, over weights w and code-book values c. With them the error is exact for any scale s of the block,
 * sum w^2 - 2 s sum w c + s^2 sum c^2, and the scale that double quantization leaves is known only after the last slab.
 */
export class QuantErrorSums {
  readonly #elements: number;
  readonly #blockSize: number;
  readonly #book: Float64Array;
  readonly #products: Float64Array;
  readonly #squares: Float64Array;
  #weights = 0;

  constructor(elements: number, { quantType, blockSize }: QuantSpec) {
    this.#elements = elements;
    this.#blockSize = blockSize;
    this.#book = Float64Array.from(CODE_BOOKS[quantType]);
    const blocks = Math.ceil(elements / blockSize);
    this.#products = new Float64Array(blocks);
    this.#squares = new Float64Array(blocks);
  }

  /** Adds the weights from `first` on, a multiple of the block size. @param source their raw bytes @param packed two codes a byte */
  add(first: number, source: Uint8Array, dtype: SourceDtype, packed: Uint8Array): void {
    const weights = widenerOf(dtype)(source);
    const book = this.#book;
    const size = this.#blockSize;
    for (let start = 0, block = first / size; start < weights.length; start += size, block++) {
      const end = Math.min(start + size, weights.length);
      let [own, products, squares] = [0, 0, 0];
      for (let i = start; i < end; i++) {
        const byte = packed[i >> 1] as number;
        // the first of two codes is in the high half
        const c = book[(i & 1) === 0 ? byte >> 4 : byte & 15] as number;
        const w = weights[i] as number;
        own += w * w;
        products += w * c;
        squares += c * c;
      }
      this.#weights += own;
      this.#products[block] = products;
      this.#squares[block] = squares;
    }
  }

  /** @param absmax the scale of each block, as it will be decoded */
  error(absmax: Float32Array): QuantError {
    let [products, squares] = [0, 0];
    absmax.forEach((scale, block) => {
      products += scale * (this.#products[block] as number);
      squares += scale * scale * (this.#squares[block] as number);
    });
    const squaredError = Math.max(0, this.#weights - 2 * products + squares);
    const norms = Math.sqrt(this.#weights * squares);
    // a tensor of zeros loses nothing
    return { rmse: Math.sqrt(squaredError / this.#elements), cosine: norms === 0 ? 1 : products / norms };
  }
}
