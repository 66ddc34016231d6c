/** One optimizer step of a run: its batches, its scalars, and the event it becomes. */
import type { BatchState } from '../data/batches.ts';
import type { Engine } from './engine.ts';
import type { StepEvent } from './events.ts';
import { learningRateAt } from './schedule.ts';
import type { RunInput } from './session.ts';

export type SubmittedStep = {
  readonly next: BatchState;
  readonly epoch: number;
  /** The rows of its micro-batches, by their place in the dataset. */
  readonly rows: readonly (readonly number[])[];
  /** Settles when the GPU is done; the caller measures stepMs. */
  readonly done: Promise<Omit<StepEvent, 'stepMs'>>;
};

/** Makes the batches of step `index` (from 0), which begin at `state`, and submits it. @throws DataError */
export async function submitStep(
  engine: Engine,
  { batches, config }: RunInput,
  index: number,
  state: BatchState,
): Promise<SubmittedStep> {
  const { microBatches, rows, numItemsInBatch, next } = await batches.train.step(state);
  const { totalSteps } = batches;
  // as in torch, update u is Adam's step u + 1, and the schedule counts updates too
  const ratesAt = (updates: number) => ({
    lr: learningRateAt(config, updates, totalSteps),
    bias1: 1 - config.adam_beta1 ** (updates + 1),
    sqrt_bias2: Math.sqrt(1 - config.adam_beta2 ** (updates + 1)),
  });
  const submitted = engine.trainStep(
    microBatches,
    {
      ...ratesAt(index),
      // a step whose labels are all ignored has a gradient of 0
      inv_tokens: numItemsInBatch > 0 ? 1 / numItemsInBatch : 0,
      loss_scale: 1,
      step: index,
      seed: config.seed,
    },
    ratesAt,
  );
  const epoch = next.epoch + next.batch / batches.train.microBatchesPerEpoch;
  const facts = {
    step: index + 1,
    totalSteps,
    epoch,
    lossTokens: numItemsInBatch,
    tokens: sum(microBatches, (b) => b.tokens),
    paddedTokens: sum(microBatches, (b) => b.B * b.S),
    samples: sum(microBatches, (b) => b.B),
  };
  const done = submitted.then(({ updates, ...metrics }) => {
    const loss = numItemsInBatch > 0 ? metrics.loss : Number.NaN;
    return { type: 'step' as const, ...facts, learningRate: ratesAt(updates).lr, ...metrics, loss };
  });
  // awaited one step later; until then a failure must not count as unhandled
  done.catch(() => undefined);
  return { next, epoch, rows, done };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
