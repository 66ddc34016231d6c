import { describe, expect, test } from 'vitest';
import { type MicroBatch, makeMicroBatch } from '../../src/data/batch.ts';
import {
  type BatchState,
  type EvalBatches,
  evalBatches,
  START,
  type StepBatches,
  type TrainBatchOptions,
  trainBatches,
} from '../../src/data/batches.ts';
import { epochOrders } from '../../src/data/order.ts';
import type { Row } from '../../src/data/row.ts';
import { lengthsOf, rowsInMemory } from '../../src/data/row-source.ts';
import { KernelCallError } from '../../src/errors.ts';
import { thrown } from '../formats/files.ts';

const row = (ids: number[], labels?: number[]): Row => ({
  inputIds: Uint32Array.from(ids),
  labels: labels ? Int32Array.from(labels) : null,
});
/** Row i holds i + 1 tokens, all of them 10 * i. */
const ROWS = rowsInMemory(Array.from({ length: 7 }, (_, i) => row(new Array<number>(i + 1).fill(10 * i))));

describe('the order of an epoch', () => {
  test('random is the permutation Trainer makes for seed + epoch', () => {
    const orders = epochOrders(new Array<number>(11).fill(1), { strategy: 'random', seed: 42, groupSize: 1 });
    const order = (epoch: number) => [...orders(epoch)];
    expect(order(0)).toEqual([6, 8, 9, 2, 1, 10, 0, 7, 3, 5, 4]);
    expect(order(1)).toEqual([3, 9, 4, 2, 8, 7, 6, 10, 1, 5, 0]);
  });

  test('sequential is the order of the file, in every epoch', () => {
    for (const epoch of [0, 5]) {
      const orders = epochOrders([3, 1, 2], { strategy: 'sequential', seed: 1, groupSize: 1 });
      expect([...orders(epoch)]).toEqual([0, 1, 2]);
    }
  });
});

describe('a micro-batch', () => {
  test('is padded on the right, and its labels are shifted and ignored past a row', () => {
    const batch = makeMicroBatch([row([5, 6, 7]), row([8], [8]), row([1, 2, 3, 4], [-100, -100, 3, 4])], { padId: 9 });
    expect(batch).toEqual({
      B: 3,
      S: 4,
      inputIds: Uint32Array.of(5, 6, 7, 9, 8, 9, 9, 9, 1, 2, 3, 4),
      labels: Int32Array.of(6, 7, -100, -100, -100, -100, -100, -100, -100, 3, 4, -100),
      lengths: Uint32Array.of(3, 1, 4),
      tokens: 8,
      lossTokens: 4,
      firstLabels: 2,
      documents: null,
    });
    expect(batch.labels.filter((label) => label !== -100).length).toBe(batch.lossTokens);
  });

  test('an id that pads may also be a real token and a label', () => {
    expect([...makeMicroBatch([row([4, 2]), row([3, 4, 2])], { padId: 2 }).labels]).toEqual([
      2, -100, -100, 4, 2, -100,
    ]);
  });

  test('S is rounded up where asked for, never past the positions nor below the longest row', () => {
    const S = (length: number, maxPositions?: number) =>
      makeMicroBatch([row(new Array<number>(length).fill(1))], {
        padId: 0,
        padToMultipleOf: 8,
        ...(maxPositions === undefined ? {} : { maxPositions }),
      }).S;
    expect([S(1), S(8), S(9), S(9, 12), S(9, 9)]).toEqual([8, 8, 16, 12, 9]);
  });

  test('without rows is a KernelCallError', () => {
    expect(thrown(() => makeMicroBatch([], { padId: 0 }))).toBeInstanceOf(KernelCallError);
  });
});

describe('the batches of a run', () => {
  const OPTIONS: TrainBatchOptions = {
    strategy: 'random',
    seed: 42,
    perDeviceTrainBatchSize: 2,
    gradientAccumulationSteps: 3,
    lossDenominator: 'shifted_labels',
    padId: 0,
  };
  const run = async (count: number, options: TrainBatchOptions, from: BatchState = START) => {
    const batches = trainBatches(ROWS, options);
    const steps: StepBatches[] = [];
    for (let state = from; steps.length < count; state = steps.at(-1)!.next) steps.push(await batches.step(state));
    return steps;
  };
  /** Which rows a step takes, by their length. */
  const rowsOf = (step: StepBatches) =>
    step.microBatches.map(({ lengths }) => Array.from(lengths, (length) => length - 1));

  test('short last micro-batches and steps are kept, and the next epoch begins after them', async () => {
    const { microBatchesPerEpoch, stepsPerEpoch } = trainBatches(ROWS, OPTIONS);
    expect([microBatchesPerEpoch, stepsPerEpoch]).toEqual([4, 2]);
    const steps = await run(4, { ...OPTIONS, strategy: 'sequential' });
    expect(steps.map(rowsOf)).toEqual([
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
      [[6]],
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
      [[6]],
    ]);
    expect(steps.map(({ next }) => next)).toEqual([
      { epoch: 0, batch: 3 },
      { epoch: 1, batch: 0 },
      { epoch: 1, batch: 3 },
      { epoch: 2, batch: 0 },
    ]);
  });

  test('every row comes once an epoch, in the order of that epoch', async () => {
    const seen = (await run(4, OPTIONS)).map((step) => rowsOf(step).flat());
    for (const epoch of [0, 1]) {
      const order = epochOrders(lengthsOf(ROWS), { strategy: 'random', seed: 42, groupSize: 6 })(epoch);
      expect([...seen[2 * epoch]!, ...seen[2 * epoch + 1]!]).toEqual([...order]);
    }
    expect(seen.slice(0, 2)).not.toEqual(seen.slice(2));
  });

  test('the loss is divided by the labels of the whole step, shifted', async () => {
    const steps = await run(2, { ...OPTIONS, strategy: 'sequential' });
    // rows of 1 to 7 tokens predict 0 to 6
    expect(steps.map(({ numItemsInBatch }) => numItemsInBatch)).toEqual([0 + 1 + 2 + 3 + 4 + 5, 6]);
    const split = await run(1, {
      ...OPTIONS,
      strategy: 'sequential',
      perDeviceTrainBatchSize: 1,
      gradientAccumulationSteps: 6,
    });
    expect(split[0]!.numItemsInBatch).toBe(steps[0]!.numItemsInBatch);
  });

  test('the denominator that counts all labels adds one for every row whose first label counts', async () => {
    const masked = [row([1, 2, 3]), row([4, 5, 6], [-100, 5, 6]), row([7, 8, 9], [7, -100, 9]), row([3], [-100])];
    const items = async (lossDenominator: TrainBatchOptions['lossDenominator']) => {
      const batches = trainBatches(rowsInMemory(masked), { ...OPTIONS, strategy: 'sequential', lossDenominator });
      return (await batches.step(START)).numItemsInBatch;
    };
    expect(await items('shifted_labels')).toBe(2 + 2 + 1 + 0);
    expect(await items('all_labels')).toBe(3 + 2 + 2 + 0);
  });

  test('a run resumed at any step goes on as the uninterrupted one', async () => {
    const whole = await run(6, OPTIONS);
    for (let at = 1; at < 6; at++)
      expect(await run(6 - at, OPTIONS, whole[at - 1]!.next), `resumed after step ${at}`).toEqual(whole.slice(at));
  });

  test('the state of a step is known without the steps before it', async () => {
    const whole = await run(6, OPTIONS);
    const { stateOf } = trainBatches(ROWS, OPTIONS);
    expect([0, 1, 2, 3, 4, 5, 6].map(stateOf)).toEqual([START, ...whole.map(({ next }) => next)]);
  });

  test('no row is read before its step', async () => {
    const read: number[] = [];
    const row = (index: number) => {
      read.push(index);
      return ROWS.row(index);
    };
    const watched = { ...ROWS, row };
    const batches = trainBatches(watched, { ...OPTIONS, strategy: 'sequential' });
    expect(read).toEqual([]);
    expect((await batches.step(START)).rows).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(read).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('another seed is another order', async () => {
    expect(await run(2, { ...OPTIONS, seed: 43 })).not.toEqual(await run(2, OPTIONS));
  });
});

async function allOf(batches: EvalBatches): Promise<MicroBatch[]> {
  const all: MicroBatch[] = [];
  for await (const batch of batches) all.push(batch);
  expect(all.length).toBe(batches.count);
  return all;
}

const EVALUATION = { padId: 0, strategy: 'random', seed: 1, perDeviceEvalBatchSize: 3 } as const;

test('evaluation takes the rows in order, the last batch short', async () => {
  const batches = await allOf(evalBatches(ROWS, EVALUATION));
  expect(batches.map(({ lengths }) => [...lengths])).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
  expect(await allOf(evalBatches(rowsInMemory([]), EVALUATION))).toEqual([]);
});

test('evaluation of rows grouped by length begins with the longest', async () => {
  const batches = await allOf(evalBatches(ROWS, { ...EVALUATION, strategy: 'group_by_length' }));
  expect(batches.map(({ B }) => B)).toEqual([3, 3, 1]);
  expect(batches[0]!.lengths[0]).toBe(7);
  expect(batches.flatMap(({ lengths }) => [...lengths]).sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
});
