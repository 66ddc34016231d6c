/** What a training run tells while it runs, and what it ends with. Progress bars, logs and reports are consumers. */

export type EvalResult = {
  /**
   * transformers' eval_loss: each batch's sum over its count of labels, then the mean of that over rows. It depends on which
   * rows share a batch. With all_labels the count takes in first positions, as transformers 4.57 to 5.9 did here as well.
   */
  readonly evalLoss: number;
  /** exp(evalLoss). */
  readonly perplexity: number;
  /** The mean over all predicted tokens, whatever batch they were in. */
  readonly tokenLoss: number;
  /** Standard error of tokenLoss. */
  readonly stderr: number;
  readonly lossTokens: number;
  readonly samples: number;
  readonly seconds: number;
};

export type StepEvent = {
  readonly type: 'step';
  /** From 1. */
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  /** NaN where the step has no label: 0 / 0, as in transformers. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradNorm: number;
  /** The one this step used. */
  readonly learningRate: number;
  /** False: the update was skipped: a gradient was NaN or infinite, or, under a loss scale, a flag was up. */
  readonly finite: boolean;
  /** What the loss of this step was multiplied with before backward; null where gradients are not scaled. */
  readonly lossScale: number | null;
  /** What kernels found wrong in this step, bit by bit: src/kernels/flags.ts. */
  readonly flags: number;
  readonly stepMs: number;
  /** Without padding. */
  readonly tokens: number;
  readonly paddedTokens: number;
  /** What the loss was divided by; 0 where the step has no label. */
  readonly lossTokens: number;
  readonly samples: number;
};

/** Means the losses of the steps that have labels, as evaluation leaves out batches without; NaN where none has. */
export function meanLoss(steps: readonly Pick<StepEvent, 'loss' | 'lossTokens'>[]): number {
  const counted = steps.filter(({ lossTokens }) => lossTokens > 0);
  return counted.reduce((sum, { loss }) => sum + loss, 0) / counted.length;
}

export type TrainEvent =
  | { readonly type: 'phase'; readonly phase: Phase; readonly total: number }
  | { readonly type: 'progress'; readonly phase: Phase; readonly label: string }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'eval'; readonly step: number; readonly epoch: number; readonly result: EvalResult }
  | StepEvent;

export type Phase = 'hash' | 'load' | 'compile' | 'warmup' | 'train' | 'eval' | 'save';

/** Disjoint wall-clock seconds: load_s and quantize_s together are what loading took, compile_s is what compiling took beyond that. */
type DisjointTiming = Record<
  'load_s' | 'quantize_s' | 'compile_s' | 'warmup_s' | 'train_s' | 'eval_s' | 'save_s',
  number
>;

export type Timing = DisjointTiming & {
  /** Of the quantizer's threads together, while weights were loaded. */
  quantize_busy_s: number;
  /** Compiling took so much of the time in load_s and quantize_s. */
  compile_overlapped_s: number;
};
