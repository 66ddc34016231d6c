/**
 * Several adapters over one base: each sequence of a batch has the one that the cursor names for it, or none. Nothing of the base
 * changes, so that any sequence may take another adapter at any step. Forward only.
 */
import type { Tensor } from '../../gpu/tensor.ts';
import type { DenseWeight, TokenRows } from '../weight.ts';

/** LoRA pairs of all adapters of a module side by side, f32: R is the sum of their ranks. */
export type LowRankBank = {
  readonly R: number;
  /** (R, in); of an embedding (tokens, R). */
  readonly A: Tensor;
  /** (out, R) */
  readonly B: Tensor;
  /** (R) u32: which adapter a column belongs to, from 1. */
  readonly owners: Tensor;
  /** (R): the scaling of its adapter. */
  readonly scales: Tensor;
};

/** A weight that one adapter has in place of the base's. */
export type Replaced<W> = { readonly adapter: number; readonly weight: W };

/** Rows of tokens that one adapter has in place of the base's. */
export type OwnTokens = { readonly adapter: number; readonly tokens: TokenRows };

export type LinearBank = {
  readonly low: LowRankBank | null;
  /** (adapters + 1, ld): what DoRA multiplies the rows of the output by; row 0 is the base's. Null where no adapter is DoRA. */
  readonly gain: Tensor | null;
  /** (adapters + 1, ld): each adapter's bias. Null where all have the base's, or none. */
  readonly bias: Tensor | null;
  readonly ld: number;
  readonly weights: readonly Replaced<DenseWeight>[];
  readonly tokens: readonly OwnTokens[];
};

export type EmbeddingBank = {
  readonly low: LowRankBank | null;
  readonly tables: readonly Replaced<DenseWeight>[];
  readonly tokens: readonly OwnTokens[];
};

/** Adapters by the names of the modules, or of the norm's weights, that they change. */
export type AdapterBank = {
  readonly linears: ReadonlyMap<string, LinearBank>;
  readonly embedding: EmbeddingBank | null;
  readonly norms: ReadonlyMap<string, readonly Replaced<Tensor>[]>;
};
