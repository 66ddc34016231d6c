/** The rows a real Trainer visited, epoch by epoch, and those of its evaluations (test/golden/make/trainer_order.py). */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { epochOrders, evaluationOrder, groupByLength, type OrderOptions } from '../../src/data/order.ts';
import { TorchRng } from '../../src/formats/torch-rng.ts';
import { goldenJson } from '../formats/files.ts';

type Settings = {
  seed: number;
  data_seed?: number;
  per_device_train_batch_size: number;
  per_device_eval_batch_size?: number;
  gradient_accumulation_steps: number;
  num_train_epochs: number;
  train_sampling_strategy?: OrderOptions['strategy'];
  eval_strategy?: 'epoch' | 'steps';
  eval_steps?: number;
  eval_on_start?: boolean;
};
type Run = { rows: number; eval_rows: number; settings: Settings; epochs: number[][]; evaluated: number[] };
const golden = JSON.parse(readFileSync(new URL('../golden/trainer/order.json', import.meta.url), 'utf8')) as {
  lengths: number[];
  runs: Run[];
};
const grouped = goldenJson<{
  lengths: number[];
  grouped: [seed: number, batch: number, order: number[]][];
}>('random.json');

const lengthsOf = (count: number, offset = 0): number[] =>
  Array.from({ length: count }, (_, i) => golden.lengths[(offset + i) % golden.lengths.length]!);

/** Counts evaluations independently of src/train/batching.ts, which runs use. */
function evaluationsBefore({ settings, rows }: Run, epoch: number): number {
  const stepsPerEpoch = Math.ceil(
    Math.ceil(rows / settings.per_device_train_batch_size) / settings.gradient_accumulation_steps,
  );
  const during =
    settings.eval_strategy === 'epoch'
      ? epoch
      : Math.floor((epoch * stepsPerEpoch) / (settings.eval_steps ?? Infinity));
  return during + (settings.eval_on_start === true ? 1 : 0);
}

function optionsOf(run: Run): OrderOptions {
  const { settings } = run;
  return {
    strategy: settings.train_sampling_strategy ?? 'random',
    seed: settings.seed,
    dataSeed: settings.data_seed ?? null,
    groupSize: settings.per_device_train_batch_size * settings.gradient_accumulation_steps,
    evaluationsBefore: (epoch) => evaluationsBefore(run, epoch),
  };
}

const named = golden.runs.map((run) => [`${run.rows} rows, ${JSON.stringify(run.settings)}`, run] as const);

test.each(named)('the rows of every epoch: %s', (_, run) => {
  expect(run.epochs.length).toBe(run.settings.num_train_epochs);
  const orders = epochOrders(lengthsOf(run.rows), optionsOf(run));
  expect(run.epochs.map((_, epoch) => [...orders(epoch)])).toEqual(run.epochs);
  // a run that is resumed begins with a late epoch, and one may go back
  expect(run.epochs.map((_, epoch) => [...orders(run.epochs.length - 1 - epoch)])).toEqual([...run.epochs].reverse());
});

test.each(named.filter(([, run]) => run.eval_rows > 0))('the rows of an evaluation: %s', (_, run) => {
  const options = { ...optionsOf(run), groupSize: run.settings.per_device_eval_batch_size! };
  expect([...evaluationOrder(lengthsOf(run.eval_rows, 5), options)]).toEqual(run.evaluated);
});

test('the golden runs cover what they are for', () => {
  const strategies = golden.runs.map(({ settings }) => settings.train_sampling_strategy ?? 'random');
  expect(strategies.filter((s) => s === 'random').length).toBe(3);
  expect(strategies.filter((s) => s === 'sequential').length).toBe(1);
  expect(strategies.filter((s) => s === 'group_by_length').length).toBe(7);
  expect(golden.runs.filter((run) => run.eval_rows > 0).length).toBe(2);
});

test('groups of equal lengths, sorted stably: get_length_grouped_indices for the same permutation', () => {
  expect(grouped.grouped.length).toBe(3);
  for (const [seed, groupSize, want] of grouped.grouped) {
    const permutation = new TorchRng(seed).randperm(grouped.lengths.length);
    expect([...groupByLength(permutation, grouped.lengths, groupSize)]).toEqual(want);
  }
});

test('evaluation keeps the order of the file unless rows are grouped by length', () => {
  const options = { seed: 1, groupSize: 2 } as const;
  expect([...evaluationOrder([3, 1, 2], { ...options, strategy: 'random' })]).toEqual([0, 1, 2]);
  expect([...evaluationOrder([3, 1, 2], { ...options, strategy: 'sequential' })]).toEqual([0, 1, 2]);
});
