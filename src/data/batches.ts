/** The micro-batches of a training run: a pure function of the rows, the settings and how far the run is. */
import { countItems, type LossDenominator, type MicroBatch, makeMicroBatch, type PaddingOptions } from './batch.ts';
import { epochOrder, evaluationOrder, type OrderOptions } from './order.ts';
import type { Row } from './row.ts';

/** How far a run is: the epoch, and how many of its micro-batches are done. All that resuming needs. */
export type BatchState = { readonly epoch: number; readonly batch: number };

export const START: BatchState = { epoch: 0, batch: 0 };

/** Which rows come when. Batch sizes give the size of a group. */
export type OrderSettings = Omit<OrderOptions, 'groupSize'>;

export type TrainBatchOptions = PaddingOptions &
  OrderSettings & {
    readonly perDeviceTrainBatchSize: number;
    readonly gradientAccumulationSteps: number;
    readonly lossDenominator: LossDenominator;
  };

/** One optimizer step. */
export type StepBatches = {
  readonly microBatches: readonly MicroBatch[];
  /** The loss of each micro-batch is divided by this: labels over the whole step. 0 is possible. */
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

/** Plans the micro-batches of a run over at least one row. */
export function trainBatches(rows: readonly Row[], options: TrainBatchOptions): TrainBatches {
  const { perDeviceTrainBatchSize: B, gradientAccumulationSteps: accumulation, lossDenominator } = options;
  const lengths = rows.map(({ inputIds }) => inputIds.length);
  const microBatchesPerEpoch = Math.ceil(rows.length / B);
  let known: { epoch: number; order: Uint32Array } | undefined;
  const orderOf = (epoch: number): Uint32Array => {
    if (known?.epoch !== epoch)
      known = { epoch, order: epochOrder(lengths, epoch, { ...options, groupSize: B * accumulation }) };
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
      const numItemsInBatch = microBatches.reduce((sum, batch) => sum + countItems(batch, lossDenominator), 0);
      const next = end === microBatchesPerEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: end };
      return { microBatches, numItemsInBatch, next };
    },
  };
}

export type EvalBatchOptions = PaddingOptions & OrderSettings & { readonly perDeviceEvalBatchSize: number };

/** Makes the batches of an evaluation, in the order of the file unless grouped by length; the last one may be short. */
export function evalBatches(rows: readonly Row[], options: EvalBatchOptions): MicroBatch[] {
  const { perDeviceEvalBatchSize: B } = options;
  const lengths = rows.map(({ inputIds }) => inputIds.length);
  const order = evaluationOrder(lengths, { ...options, groupSize: B });
  return Array.from({ length: Math.ceil(rows.length / B) }, (_, i) =>
    makeMicroBatch(
      Array.from(order.subarray(i * B, (i + 1) * B), (index) => rows[index]!),
      options,
    ),
  );
}
