/** Keys and values of all sequences under way, in pages, and where each sequence stands. */
import type { ModelConfig } from '../formats/hf-config.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { AttentionCache } from '../model/ops/context.ts';

/** Tokens of a page: a sequence leaves half of one unused on average, and a page table of 4 bytes a page stays small. */
export const PAGE_TOKENS = 16;
/** Numbers of a sequence in the cursor (shaders/lib/cursor.wgsl). */
export const CURSOR_WORDS = 4;

export type CacheShape = {
  /** Pages that all sequences share. */
  readonly pages: number;
  /** Pages that one sequence can have. */
  readonly pagesPerRow: number;
  /** Sequences of the largest batch. */
  readonly rows: number;
};

export type KvCache = AttentionCache & {
  /** The ambient bindings of phases with a cache: (rows, CURSOR_WORDS) and (rows, pagesPerRow), u32. */
  readonly cursor: Tensor;
  readonly pages: Tensor;
};

/** Allocates a cache of f32, as keys and values are computed. */
export function allocateCache(
  residents: Residents,
  { num_hidden_layers, num_key_value_heads, head_dim }: ModelConfig,
  { pages, pagesPerRow, rows }: CacheShape,
): KvCache {
  const shape = [pages * PAGE_TOKENS, num_key_value_heads * head_dim];
  const layer = (label: string): Tensor => residents.tensor({ label, shape, dtype: 'f32', category: 'kv_cache' });
  const table = (label: string, width: number): Tensor =>
    residents.tensor({ label, shape: [rows, width], dtype: 'u32', category: 'staging' });
  return {
    pageTokens: PAGE_TOKENS,
    pagesPerRow,
    layers: Array.from({ length: num_hidden_layers }, (_, i) => ({ k: layer(`keys[${i}]`), v: layer(`values[${i}]`) })),
    cursor: table('cursor', CURSOR_WORDS),
    pages: table('pages', pagesPerRow),
  };
}
