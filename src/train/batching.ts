/** Decides the batches of a run before it starts, from the lengths of its rows: how many steps, and which shapes need a plan. */
import type { TrainConfig } from '../config/settings.ts';
import {
  type BatchSize,
  distinctShapes,
  type EvalBatches,
  evalBatches,
  type OrderSettings,
  type TrainBatches,
  trainBatches,
} from '../data/batches.ts';
import { epochOrders, evaluationOrder, type Lengths } from '../data/order.ts';
import { lengthsOf, type RowSource } from '../data/row-source.ts';
import { sizesInOrder, trainSizes } from './batch-sizes.ts';
import type { Shapes } from './shapes.ts';

export type RunBatches = {
  readonly train: TrainBatches;
  readonly evaluation: EvalBatches;
  readonly totalSteps: number;
  /** Steps between two evaluations, and between two checkpoints, where those go by steps. */
  readonly evalSteps: number;
  readonly saveSteps: number;
  readonly shapes: Shapes;
  /** Rows are padded to multiples of this; padding is masked and changes no result. */
  readonly padToMultipleOf: number;
};

/** Each shape costs a recorded plan and its bind groups; padding keeps their number down where lengths vary much. */
const MOST_SHAPES = 16;
const MOST_PADDING = 1024;

/**
 * Divides rows, packed already where the run packs, into batches, none of which is made before its step. Pads rows to multiples
 * of the smallest power of two that leaves at most MOST_SHAPES shapes.
 * @param maxPositions tokens beyond which no row is padded
 */
export function runBatches(
  config: TrainConfig,
  train: RowSource,
  evaluation: RowSource,
  padId: number,
  maxPositions: number,
): RunBatches {
  const totalSteps = stepsOf(config, train.count);
  const evalSteps = inSteps(config.eval_steps, totalSteps);
  const order = orderSettings(config, train.count, evaluation.count > 0 ? evalSteps : null);
  const sizes = {
    train: sizesOfRun(config, lengthsOf(train), order, totalSteps),
    evaluation: sizesOfEvaluation(config, lengthsOf(evaluation), order),
  };
  for (let padToMultipleOf = 1; ; padToMultipleOf *= 2) {
    const padding = { padId, padToMultipleOf, maxPositions };
    const shapes = {
      train: distinctShapes(sizes.train, padding),
      evaluation: distinctShapes(sizes.evaluation, padding),
    };
    if (shapes.train.length + shapes.evaluation.length > MOST_SHAPES && padToMultipleOf < MOST_PADDING) continue;
    return {
      train: trainBatches(train, {
        ...padding,
        ...order,
        perDeviceTrainBatchSize: config.per_device_train_batch_size,
        gradientAccumulationSteps: config.gradient_accumulation_steps,
        lossDenominator: config.loss_denominator,
      }),
      evaluation: evalBatches(evaluation, {
        ...padding,
        ...order,
        perDeviceEvalBatchSize: config.per_device_eval_batch_size,
      }),
      totalSteps,
      evalSteps,
      saveSteps: inSteps(config.save_steps, totalSteps),
      shapes,
      padToMultipleOf,
    };
  }
}

const microBatchesOf = ({ per_device_train_batch_size }: TrainConfig, rows: number): number =>
  Math.ceil(rows / per_device_train_batch_size);

const stepsPerEpoch = (config: TrainConfig, rows: number): number =>
  Math.ceil(microBatchesOf(config, rows) / config.gradient_accumulation_steps);

function stepsOf(config: TrainConfig, rows: number): number {
  return config.max_steps > 0 ? config.max_steps : Math.ceil(config.num_train_epochs * stepsPerEpoch(config, rows));
}

/** A setting of steps; below 1 it is a share of all steps, rounded up. */
const inSteps = (setting: number, totalSteps: number): number =>
  setting < 1 ? Math.ceil(totalSteps * setting) : setting;

function sizesOfRun(config: TrainConfig, lengths: Lengths, order: OrderSettings, totalSteps: number): BatchSize[] {
  const { per_device_train_batch_size: B, gradient_accumulation_steps: accumulation } = config;
  const perEpoch = stepsPerEpoch(config, lengths.length);
  const microBatches =
    Math.floor(totalSteps / perEpoch) * microBatchesOf(config, lengths.length) + (totalSteps % perEpoch) * accumulation;
  return trainSizes(lengths, {
    perDeviceTrainBatchSize: B,
    microBatches,
    isSameEveryEpoch: order.strategy === 'sequential',
    orderOf: epochOrders(lengths, { ...order, groupSize: B * accumulation }),
  });
}

function sizesOfEvaluation(config: TrainConfig, lengths: Lengths, order: OrderSettings): BatchSize[] {
  const { per_device_eval_batch_size: B } = config;
  return sizesInOrder(lengths, evaluationOrder(lengths, { ...order, groupSize: B }), B);
}

/** @param evalSteps null where nothing is evaluated */
function orderSettings(config: TrainConfig, rows: number, evalSteps: number | null): OrderSettings {
  return {
    strategy: config.train_sampling_strategy,
    seed: config.seed,
    dataSeed: config.data_seed,
    evaluationsBefore: (epoch) => (evalSteps === null ? 0 : evaluationsBefore(config, rows, evalSteps, epoch)),
  };
}

/**
 * Counts the evaluations that Trainer has made when an epoch (from 0) begins: the order of group_by_length depends on
 * them.
 */
function evaluationsBefore(config: TrainConfig, rows: number, evalSteps: number, epoch: number): number {
  const steps = epoch * stepsPerEpoch(config, rows);
  const during = { no: 0, epoch, steps: Math.floor(steps / evalSteps) }[config.eval_strategy];
  return during + (config.eval_on_start ? 1 : 0);
}
