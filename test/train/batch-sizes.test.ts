/** The shapes that a run is planned for are known from lengths: those of its steps, or all that can occur. */
import { expect, test } from 'vitest';
import { distinctShapes, START } from '../../src/data/batches.ts';
import { epochOrders } from '../../src/data/order.ts';
import type { Row } from '../../src/data/row.ts';
import { rowsInMemory } from '../../src/data/row-source.ts';
import { trainSizes } from '../../src/train/batch-sizes.ts';
import { runBatches } from '../../src/train/batching.ts';
import { random } from '../ref/compare.ts';
import { configOf } from './run.ts';

const row = (length: number): Row => ({ inputIds: new Uint32Array(length).fill(1), labels: null });
const lengths = (count: number, most: number): number[] =>
  Array.from(random(7).uniform(count), (u) => 1 + Math.floor(u * most));
const sorted = (shapes: readonly { B: number; S: number }[]) => shapes.map(({ B, S }) => `${B},${S}`).sort();

const runs = [
  { rows: 23, most: 9, train_sampling_strategy: 'random', gradient_accumulation_steps: 3, max_steps: 11 },
  { rows: 23, most: 90, train_sampling_strategy: 'random', gradient_accumulation_steps: 2, max_steps: 40 },
  { rows: 23, most: 90, train_sampling_strategy: 'sequential', gradient_accumulation_steps: 1, max_steps: 40 },
  { rows: 40, most: 9, train_sampling_strategy: 'group_by_length', gradient_accumulation_steps: 1, max_steps: 50 },
  { rows: 2, most: 5, train_sampling_strategy: 'random', gradient_accumulation_steps: 1, max_steps: 3 },
] as const;

test.each(runs)(
  'shapes are those of the steps: $rows rows, $train_sampling_strategy',
  async ({ rows, most, ...more }) => {
    const source = rowsInMemory(lengths(rows, most).map(row));
    const batches = runBatches(
      configOf({ ...more, per_device_train_batch_size: 4 }),
      source,
      rowsInMemory([]),
      0,
      1000,
    );
    const seen: { B: number; S: number }[] = [];
    let state = START;
    for (let i = 0; i < batches.totalSteps; i++) {
      const { microBatches, next } = await batches.train.step(state);
      seen.push(...microBatches.map(({ B, S }) => ({ B, S })));
      state = next;
    }
    expect(sorted(batches.shapes.train)).toEqual([...new Set(sorted(seen))]);
    expect(batches.shapes.train.length).toBeLessThanOrEqual(16);
  },
);

test('a run too long to be looked through is planned for every shape that can occur, and no other', () => {
  const of = lengths(11, 6);
  const B = 4;
  const orderOf = epochOrders(of, { strategy: 'random', seed: 1, groupSize: B });
  const options = { perDeviceTrainBatchSize: B, microBatches: 10 ** 9, isSameEveryEpoch: false, orderOf };
  const possible = sorted(distinctShapes(trainSizes(of, options), { padId: 0 }));
  // in many epochs all of them come
  const seen = sorted(
    distinctShapes(trainSizes(of, { ...options, microBatches: 6000, mostVisits: Infinity }), { padId: 0 }),
  );
  expect(possible).toEqual(seen);
});

test('a thousand million steps are laid out in a moment', () => {
  const source = rowsInMemory(lengths(1000, 300).map(row));
  const started = performance.now();
  const batches = runBatches(
    configOf({ max_steps: 10 ** 9, train_sampling_strategy: 'random' }),
    source,
    source,
    0,
    300,
  );
  expect(batches.totalSteps).toBe(10 ** 9);
  expect(performance.now() - started).toBeLessThan(1000);
});
