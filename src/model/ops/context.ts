/** The context that every op records itself in. */
import type { Tape } from '../../gpu/tape.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import { type ComputeDtype, PACKED_ROWS } from '../weight.ts';

/**
 * Where the documents packed into a row begin and end, by position within the row: what a token may attend to. Both (B * S)
 * u32: for each token, the first position of its document, and the position after its last. Positions of one document
 * follow each other, and starts[t] <= t < ends[t] for every token (padding is a document of its own, or of one token each).
 */
export type Documents = { readonly starts: Tensor; readonly ends: Tensor };

export type OpContext = {
  readonly tape: Tape;
  /** Operands of matrix products; sums, norms, softmax and the residual stream are always f32. */
  readonly computeDtype: ComputeDtype;
  /** Sequences and tokens of each: the rows of every activation are B * S. */
  readonly B: number;
  readonly S: number;
  readonly phase: Phase;
  /** Present in `decode` only. */
  readonly cache?: AttentionCache;
  /** Selects what backward computes again instead of keeping; nothing when absent. */
  readonly checkpointing?: Checkpointing;
  /** Type that the kept inputs of checkpointed layers lie in; f32 when absent. */
  readonly keptInputs?: ComputeDtype;
  /** Documents packed into the rows; every row is one sequence when absent. */
  readonly documents?: Documents;
  /** (B * S) u32: where each token stands for the rotary embedding, below S; its place in the row when absent. */
  readonly positions?: Tensor;
};

/**
 * `full` keeps only the input of each layer. `selective` keeps the results of matrix products and attention as well, so
 * that only norms, activations and sums are computed again.
 */
export type Checkpointing = 'off' | 'selective' | 'full';

/** Records a matrix product or attention: in a selectively checkpointed layer, once. */
export function onceIfSelective<T>({ tape, checkpointing }: OpContext, record: () => T): T {
  return checkpointing === 'selective' ? tape.once(record) : record();
}

/**
 * The phase that is being recorded. In `train` dropout is on, and every row goes through training's kernels. In `decode` the
 * batch's tokens follow those of the cache, from the position in the ambient binding `cursor` on.
 */
export type Phase = 'train' | 'eval' | 'decode';

/** Keys and values of the tokens before a batch's. Only `attend` (src/model/blocks.ts) uses it. */
export type AttentionCache = {
  /** Most tokens that it holds for a row. */
  readonly capacity: number;
  /**
   * Records that k and v (B*S, K*D) of a layer go behind what the cache holds.
   * @returns both as attention reads them (B*capacity, K*D)
   */
  append(ctx: OpContext, layer: number, kv: KeysAndValues): KeysAndValues;
};
export type KeysAndValues = { readonly k: Tensor; readonly v: Tensor };

/** Elements that a load of 16 bytes has. */
const WHOLE_LOADS = 8;

/**
 * Type of an activation of this width that products alone read, or of a gradient: float16 where tensor cores would round it on its way
 * anyway. Never behind a cache or in a batch of a row or two, whose products read 4-bit codes themselves and f32 beside them.
 */
export function operandDtype({ tape, computeDtype, phase, B, S }: OpContext, width: number): ComputeDtype {
  const onMatrices = tape.profile.tier === 'subgroup_matrix' && computeDtype === 'f16' && width % WHOLE_LOADS === 0;
  return onMatrices && (phase === 'train' || (phase === 'eval' && B * S > PACKED_ROWS)) ? 'f16' : 'f32';
}

/** A planned activation that requires a gradient if any of its inputs does. */
export function output(
  tape: Tape,
  label: string,
  shape: readonly number[],
  inputs: readonly Tensor[],
  dtype: ComputeDtype = 'f32',
): Tensor {
  return tape.tensor(label, shape, { dtype, requiresGrad: inputs.some((t) => t.requiresGrad) });
}
