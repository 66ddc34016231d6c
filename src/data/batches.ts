/** The micro-batches of a training run: a pure function of the rows, the settings and how far the run is. */
import { type MicroBatch, makeMicroBatch, type PaddingOptions } from './batch.ts';
import { epochOrder, type SamplingStrategy } from './order.ts';
import type { Row } from './row.ts';

/** How far a run is: the epoch, and how many of its micro-batches are done. All that resuming needs. */
export type BatchState = { readonly epoch: number; readonly batch: number };

export const START: BatchState = { epoch: 0, batch: 0 };

export type TrainBatchOptions = PaddingOptions & {
  readonly strategy: SamplingStrategy;
  /** data_seed where it is set, else seed. */
  readonly seed: number;
  readonly perDeviceTrainBatchSize: number;
  readonly gradientAccumulationSteps: number;
};

/** One optimizer step. */
export type StepBatches = {
  readonly microBatches: readonly MicroBatch[];
  /** The loss of each micro-batch is divided by this: labels that count, over the whole step. 0 is possible. */
  readonly numItemsInBatch: number;
  /** The state after this step; at an epoch's end the start of the next one. */
  readonly next: BatchState;
};

export type TrainBatches = {
  /** The last micro-batch of an epoch, and the last step, may be short; neither is dropped. */
  readonly microBatchesPerEpoch: number;
  readonly stepsPerEpoch: number;
  /** The step that starts at `state`. */
  step(state: BatchState): StepBatches;
};

/** Batches of at least one row. */
export function trainBatches(rows: readonly Row[], options: TrainBatchOptions): TrainBatches {
  const { strategy, seed, perDeviceTrainBatchSize: B, gradientAccumulationSteps: accumulation } = options;
  const lengths = rows.map(({ inputIds }) => inputIds.length);
  const microBatchesPerEpoch = Math.ceil(rows.length / B);
  let known: { epoch: number; order: Uint32Array } | undefined;
  const orderOf = (epoch: number): Uint32Array => {
    if (known?.epoch !== epoch)
      known = { epoch, order: epochOrder(lengths, epoch, { strategy, seed, groupSize: B * accumulation }) };
    return known.order;
  };
  return {
    microBatchesPerEpoch,
    stepsPerEpoch: Math.ceil(microBatchesPerEpoch / accumulation),
    step: ({ epoch, batch }) => {
      const order = orderOf(epoch);
      const end = Math.min(batch + accumulation, microBatchesPerEpoch);
      const microBatches: MicroBatch[] = [];
      for (let i = batch; i < end; i++) {
        const chosen = Array.from(order.subarray(i * B, (i + 1) * B), (index) => rows[index]!);
        microBatches.push(makeMicroBatch(chosen, options));
      }
      const numItemsInBatch = microBatches.reduce((sum, { lossTokens }) => sum + lossTokens, 0);
      const next = end === microBatchesPerEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: end };
      return { microBatches, numItemsInBatch, next };
    },
  };
}

/** The rows in their order, `batchSize` at a time, the last batch as short as it comes. */
export function evalBatches(rows: readonly Row[], batchSize: number, options: PaddingOptions): MicroBatch[] {
  return Array.from({ length: Math.ceil(rows.length / batchSize) }, (_, i) =>
    makeMicroBatch(rows.slice(i * batchSize, (i + 1) * batchSize), options),
  );
}
