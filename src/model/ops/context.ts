/** The context that every op records itself in. */
import type { Tape } from '../../gpu/tape.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { Paging } from '../../kernels/cache.ts';
import { type ComputeDtype, fewRows } from '../weight.ts';
import type { AdapterBank } from './adapter-bank.ts';

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
  /** Present in `prefill` and `decode`. */
  readonly cache?: AttentionCache;
  /** Adapters that the sequences of the batch choose among; none when absent. */
  readonly adapters?: AdapterBank;
  /** Selects what backward computes again instead of keeping; nothing when absent. */
  readonly checkpointing?: Checkpointing;
  /** Type that the kept inputs of checkpointed layers lie in; f32 when absent. */
  readonly keptInputs?: ComputeDtype;
  /** NEFTune: noise on the embeddings in training, divided by sqrt(S * C); none when absent. */
  readonly neftuneAlpha?: number;
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
 * The phase that is being recorded. In `train` dropout is on, and every row goes through training's kernels. `prefill` begins a
 * sequence: its tokens go into the cache and read nothing from it. In `decode` they follow those of the cache, from the position
 * in the ambient binding `cursor` on.
 */
export type Phase = 'train' | 'eval' | 'prefill' | 'decode';

/** Keys and values of the tokens before a batch's, of every layer (pages * pageTokens, K*D). Only `attend` (src/model/blocks.ts) uses it. */
export type AttentionCache = Paging & { readonly layers: readonly KeysAndValues[] };
export type KeysAndValues = { readonly k: Tensor; readonly v: Tensor };

/** Elements that a load of 16 bytes has. */
const WHOLE_LOADS = 8;

/**
 * Type of an activation of this width that products alone read, or of a gradient: float16 where tensor cores would round it on its way
 * anyway. Never where tokens are generated or adapters chosen, nor in a batch of a few rows, whose products read weights as they are
 * stored and f32 beside them.
 */
export function operandDtype({ tape, computeDtype, phase, adapters, B, S }: OpContext, width: number): ComputeDtype {
  const onMatrices = tape.profile.tier === 'subgroup_matrix' && computeDtype === 'f16' && width % WHOLE_LOADS === 0;
  const evaluates = phase === 'eval' && adapters === undefined && B * S > fewRows(tape.profile);
  return onMatrices && (phase === 'train' || evaluates) ? 'f16' : 'f32';
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
