/** Shapes of the batches that a run's plans are recorded for. */

/** B sequences of S tokens each. Every distinct shape has a plan of its own. */
export type BatchShape = { readonly B: number; readonly S: number };

/** Every shape that a run feeds. */
export type Shapes = {
  readonly train: readonly BatchShape[];
  readonly evaluation: readonly BatchShape[];
  /** Tokens of the phase that eval_generate runs; absent without it. */
  readonly sample?: number;
};
