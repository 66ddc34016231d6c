/** Lays out all batches of a run before it starts: how many steps, and which shapes need a plan. */
import type { TrainConfig } from '../config/settings.ts';
import type { MicroBatch } from '../data/batch.ts';
import { evalBatches, type OrderSettings, START, type TrainBatches, trainBatches } from '../data/batches.ts';
import type { Row } from '../data/row.ts';
import type { Shapes } from './build.ts';
import type { BatchShape } from './inputs.ts';

export type RunBatches = {
  readonly train: TrainBatches;
  readonly evaluation: readonly MicroBatch[];
  readonly totalSteps: number;
  readonly shapes: Shapes;
  /** Rows are padded to multiples of this; padding is masked and changes no result. */
  readonly padToMultipleOf: number;
};

/** Each shape costs a recorded plan and its bind groups; padding keeps their number down where lengths vary much. */
const MOST_SHAPES = 16;
const MOST_PADDING = 1024;

/**
 * Divides rows, packed already where the run packs, into batches. Pads rows to multiples of the smallest power of two
 * that leaves at most MOST_SHAPES shapes.
 * @param maxPositions tokens beyond which no row is padded
 */
export function runBatches(
  config: TrainConfig,
  train: readonly Row[],
  evaluation: readonly Row[],
  padId: number,
  maxPositions: number,
): RunBatches {
  const order = orderSettings(config, train.length, evaluation.length > 0);
  for (let padToMultipleOf = 1; ; padToMultipleOf *= 2) {
    const padding = { padId, padToMultipleOf, maxPositions };
    const batches = trainBatches(train, {
      ...padding,
      ...order,
      perDeviceTrainBatchSize: config.per_device_train_batch_size,
      gradientAccumulationSteps: config.gradient_accumulation_steps,
      lossDenominator: config.loss_denominator,
    });
    const totalSteps =
      config.max_steps > 0 ? config.max_steps : Math.ceil(config.num_train_epochs * batches.stepsPerEpoch);
    const evalMicro = evalBatches(evaluation, {
      ...padding,
      ...order,
      perDeviceEvalBatchSize: config.per_device_eval_batch_size,
    });
    const shapes = { train: trainShapes(batches, totalSteps), evaluation: distinctShapes(evalMicro) };
    if (shapes.train.length + shapes.evaluation.length <= MOST_SHAPES || padToMultipleOf >= MOST_PADDING) {
      return { train: batches, evaluation: evalMicro, totalSteps, shapes, padToMultipleOf };
    }
  }
}

function orderSettings(config: TrainConfig, rows: number, evaluates: boolean): OrderSettings {
  return {
    strategy: config.train_sampling_strategy,
    seed: config.seed,
    dataSeed: config.data_seed,
    evaluationsBefore: (epoch) => (evaluates ? evaluationsBefore(config, rows, epoch) : 0),
  };
}

/**
 * Counts the evaluations that Trainer has made when an epoch (from 0) begins: the order of group_by_length depends on
 * them.
 */
function evaluationsBefore(config: TrainConfig, rows: number, epoch: number): number {
  const microBatches = Math.ceil(rows / config.per_device_train_batch_size);
  const steps = epoch * Math.ceil(microBatches / config.gradient_accumulation_steps);
  const during = { no: 0, epoch, steps: Math.floor(steps / config.eval_steps) }[config.eval_strategy];
  return during + (config.eval_on_start ? 1 : 0);
}

function trainShapes(batches: TrainBatches, totalSteps: number): BatchShape[] {
  const shapes = new Map<string, BatchShape>();
  let state = START;
  for (let step = 0; step < totalSteps; step++) {
    const { microBatches, next } = batches.step(state);
    for (const shape of distinctShapes(microBatches)) shapes.set(`${shape.B},${shape.S}`, shape);
    state = next;
  }
  return [...shapes.values()];
}

function distinctShapes(batches: readonly MicroBatch[]): BatchShape[] {
  return [...new Map(batches.map(({ B, S }) => [`${B},${S}`, { B, S }])).values()];
}
