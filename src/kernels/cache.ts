/** Host side of shaders/cache_append.wgsl, and how a cache of keys and values is cut into pages. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** A sequence's tokens lie in pages anywhere in the cache; the ambient bindings `cursor` and `pages` say where (shaders/lib/cursor.wgsl). */
export type Paging = {
  /** Tokens of a page, a multiple of 4: kernels read four keys at once. */
  readonly pageTokens: number;
  /** Pages that a sequence can have. */
  readonly pagesPerRow: number;
};

/** Compile-time numbers of kernels that read `pages`. */
export function pagingConstants(kernel: string, { pageTokens, pagesPerRow }: Paging): Record<string, number> {
  if (pageTokens % 4 !== 0) throw new KernelCallError(kernel, `pages of ${pageTokens} tokens are no multiples of 4`);
  return { PAGES: pagesPerRow, PAGE_TOKENS: pageTokens };
}

export type CacheAppend = Paging & {
  B: number;
  S: number;
  /** Elements of a token's keys, a multiple of 4. */
  W: number;
  k: Tensor; //      (B*S, W) in
  v: Tensor; //      (B*S, W) in
  keys: Tensor; //   (pages * pageTokens, W) out
  values: Tensor; // (pages * pageTokens, W) out
};

/** Copies the keys and values of a batch's tokens behind those that the cache holds of each sequence. */
export function cacheAppend(rec: Recorder, { B, S, W, k, v, keys, values, ...paging }: CacheAppend): void {
  if (W % 4 !== 0) throw new KernelCallError('cache_append', `rows of ${W} elements are no multiples of 4`);
  const n = B * S * W;
  rec.dispatch({
    name: 'cache_append',
    constants: pagingConstants('cache_append', paging),
    params: { B, S, W4: W / 4 },
    buffers: { k: [k, n], v: [v, n], keys, values },
    threads: n / 4,
  });
}
