/** The micro-batches of a training run: a pure function of the rows, the settings and how far the run is. */
import {
  countItems,
  type LossDenominator,
  type MicroBatch,
  makeMicroBatch,
  type PaddingOptions,
  paddedLength,
} from './batch.ts';
import { epochOrders, evaluationOrder, type OrderOptions } from './order.ts';
import { lengthsOf, type RowSource } from './row-source.ts';

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
  /** The rows of each micro-batch, by their place in the dataset. */
  readonly rows: readonly (readonly number[])[];
  /** The loss of each micro-batch is divided by this: labels over the whole step. 0 is possible. */
  readonly numItemsInBatch: number;
  /** The state after this step; at an epoch's end the start of the next one. */
  readonly next: BatchState;
};

export type TrainBatches = {
  /** The last micro-batch of an epoch, and the last step, may be short; neither is dropped. */
  readonly microBatchesPerEpoch: number;
  readonly stepsPerEpoch: number;
  /** Makes the step that starts at `state`; nothing is made before it is asked for. @throws DataError */
  step(state: BatchState): Promise<StepBatches>;
  /** The state from which `step` makes step `index` (from 0) of the run. */
  stateOf(index: number): BatchState;
};

/** Plans the micro-batches of a run over at least one row. */
export function trainBatches(rows: RowSource, options: TrainBatchOptions): TrainBatches {
  const { perDeviceTrainBatchSize: B, gradientAccumulationSteps: accumulation, lossDenominator } = options;
  const microBatchesPerEpoch = Math.ceil(rows.count / B);
  const stepsPerEpoch = Math.ceil(microBatchesPerEpoch / accumulation);
  const orderOf = epochOrders(lengthsOf(rows), { ...options, groupSize: B * accumulation });
  return {
    microBatchesPerEpoch,
    stepsPerEpoch,
    stateOf: (index) => ({
      epoch: Math.floor(index / stepsPerEpoch),
      batch: (index % stepsPerEpoch) * accumulation,
    }),
    step: async ({ epoch, batch }) => {
      const order = orderOf(epoch);
      const end = Math.min(batch + accumulation, microBatchesPerEpoch);
      const chosen = Array.from({ length: end - batch }, (_, i) => [
        ...order.subarray((batch + i) * B, (batch + i + 1) * B),
      ]);
      const microBatches: MicroBatch[] = [];
      for (const indices of chosen) microBatches.push(await batchOf(rows, indices, options));
      const numItemsInBatch = microBatches.reduce((sum, micro) => sum + countItems(micro, lossDenominator), 0);
      const next = end === microBatchesPerEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: end };
      return { microBatches, rows: chosen, numItemsInBatch, next };
    },
  };
}

export type EvalBatchOptions = PaddingOptions & OrderSettings & { readonly perDeviceEvalBatchSize: number };

/** The batches of an evaluation, which are made as they are asked for, each time anew. */
export type EvalBatches = AsyncIterable<MicroBatch> & { readonly count: number };

/** Plans the batches of an evaluation, in the order of the file unless grouped by length; the last one may be short. */
export function evalBatches(rows: RowSource, options: EvalBatchOptions): EvalBatches {
  const { perDeviceEvalBatchSize: B } = options;
  const count = Math.ceil(rows.count / B);
  const order = evaluationOrder(lengthsOf(rows), { ...options, groupSize: B });
  return {
    count,
    async *[Symbol.asyncIterator]() {
      for (let i = 0; i < count; i++) yield await batchOf(rows, order.subarray(i * B, (i + 1) * B), options);
    },
  };
}

async function batchOf(rows: RowSource, indices: Iterable<number>, padding: PaddingOptions): Promise<MicroBatch> {
  return makeMicroBatch(await Promise.all(Array.from(indices, (index) => rows.row(index))), padding);
}

/** Rows of a batch and the length of the longest of them, before padding. */
export type BatchSize = { readonly B: number; readonly longest: number };

/** Rows of B and S of the batches of these sizes, each once. */
export function distinctShapes(sizes: Iterable<BatchSize>, padding: PaddingOptions): { B: number; S: number }[] {
  const shapes = new Map<string, { B: number; S: number }>();
  for (const { B, longest } of sizes) {
    const S = paddedLength(longest, padding);
    shapes.set(`${B},${S}`, { B, S });
  }
  return [...shapes.values()];
}
