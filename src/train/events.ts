/** Events of a training run and its result, for progress bars, logs and reports. */

import type { CategoryBytes } from '../gpu/category.ts';
import type { AdviceEvent } from './advice.ts';

/** A row of Trainer's log, under its names. */
export type LogRow = Readonly<Record<string, number>>;

export type EvalResult = {
  /**
   * transformers' eval_loss in nats: each batch's sum divided by its count of labels, then the mean over rows. It
   * depends on which rows share a batch. With all_labels the count includes first positions, as transformers 4.57 to
   * 5.9 counted.
   */
  readonly evalLoss: number;
  /** exp(evalLoss). */
  readonly perplexity: number;
  /** Mean over all predicted tokens, whatever batch they were in; nats. */
  readonly tokenLoss: number;
  /** Standard error of tokenLoss. */
  readonly stderr: number;
  readonly lossTokens: number;
  /** What each row contributed, in the order they were evaluated. */
  readonly rows: RowSums;
  readonly samples: number;
  readonly seconds: number;
};

/** Nats and predicted tokens of each row. */
export type RowSums = { readonly sums: number[]; readonly tokens: number[] };

/** An evaluation after a step; the one before the first step has step 0. */
export type Evaluation = { readonly step: number; readonly epoch: number; readonly result: EvalResult };

/** A checkpoint that is complete and on the disk. */
export type CheckpointEvent = {
  readonly type: 'checkpoint';
  readonly step: number;
  /** Its folder. */
  readonly path: string;
  /** Whether its evaluation is the best so far; only where evaluations are compared. */
  readonly isBest: boolean;
  /** Whether it was saved because the run ends here, before its last step. */
  readonly isStop: boolean;
};

/** Bytes of all GPU buffers by the ledger, each time steps begin: they stay what they are until an evaluation or the end. */
export type MemoryEvent = {
  readonly type: 'memory';
  readonly liveBytes: number;
  /** At the highest peak so far, in all and by category. */
  readonly peakBytes: number;
  readonly byCategory: CategoryBytes;
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
  /** Learning rate that this step used. */
  readonly learningRate: number;
  /** False where the update was skipped: a gradient was NaN or infinite or, under a loss scale, a flag was up. */
  readonly finite: boolean;
  /** Factor on the loss before backward; null where gradients are not scaled. */
  readonly lossScale: number | null;
  /** Problems that kernels found in this step, as bits of src/kernels/flags.ts. */
  readonly flags: number;
  readonly stepMs: number;
  /** Tokens without padding. */
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

/** What a run wrote on after a prompt of eval_generate; the one before the first step has step 0. */
export type Sample = {
  readonly step: number;
  readonly prompt: string;
  /** Without the prompt and without special tokens. */
  readonly text: string;
  /** An end of text included. */
  readonly token_ids: number[];
};

/** A prompt of eval_generate and what was written after it, before the first step and by the weights that a run ends with; null for a text that there is not. */
export type SampledPrompt = { readonly prompt: string; readonly before: string | null; readonly after: string | null };

export type TrainEvent =
  | { readonly type: 'phase'; readonly phase: Phase; readonly total: number }
  | { readonly type: 'progress'; readonly phase: Phase; readonly label: string }
  | { readonly type: 'note'; readonly text: string }
  | AdviceEvent
  | MemoryEvent
  | ({ readonly type: 'eval' } & Evaluation)
  | { readonly type: 'sample'; readonly step: number; readonly samples: readonly Sample[] }
  | CheckpointEvent
  | StepEvent;

export type Phase = 'hash' | 'load' | 'compile' | 'warmup' | 'train' | 'eval' | 'sample' | 'save';

/** Disjoint wall-clock seconds: loading took load_s and quantize_s together, compiling took compile_s beyond that. */
type DisjointTiming = Record<
  'load_s' | 'quantize_s' | 'compile_s' | 'warmup_s' | 'train_s' | 'eval_s' | 'checkpoint_s' | 'save_s',
  number
>;

export type Timing = DisjointTiming & {
  /** Busy seconds of all quantizer threads together while weights were loaded. */
  quantize_busy_s: number;
  /** Seconds of load_s and quantize_s during which pipelines were compiled too. */
  compile_overlapped_s: number;
};
