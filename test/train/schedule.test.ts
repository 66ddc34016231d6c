import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SCHEDULER_TYPES, type SchedulerKwargs } from '../../src/config/schedulers.ts';
import {
  learningRateAt,
  learningRateMultiplier,
  resolveWarmupSteps,
  type SchedulerType,
} from '../../src/train/schedule.ts';

// transformers 5.23.0: get_scheduler(name, optimizer, num_warmup_steps, num_training_steps=10), the rate of each step
const TOTAL = 10;
const GOLDEN: [SchedulerType, number, number[]][] = [
  ['linear', 0, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]],
  [
    'linear',
    3,
    [
      0, 0.3333333333333333, 0.6666666666666666, 1, 0.8571428571428571, 0.7142857142857143, 0.5714285714285714,
      0.42857142857142855, 0.2857142857142857, 0.14285714285714285,
    ],
  ],
  [
    'cosine',
    0,
    [
      1, 0.9755282581475768, 0.9045084971874737, 0.7938926261462366, 0.6545084971874737, 0.5, 0.34549150281252633,
      0.2061073738537635, 0.09549150281252633, 0.024471741852423234,
    ],
  ],
  [
    'cosine',
    3,
    [
      0, 0.3333333333333333, 0.6666666666666666, 1, 0.9504844339512095, 0.8117449009293668, 0.6112604669781572,
      0.38873953302184283, 0.18825509907063326, 0.04951556604879048,
    ],
  ],
  ['constant', 0, new Array(10).fill(1)],
  ['constant', 3, new Array(10).fill(1)],
  ['constant_with_warmup', 0, new Array(10).fill(1)],
  ['constant_with_warmup', 3, [0, 0.3333333333333333, 0.6666666666666666, ...new Array(7).fill(1)]],
];

test.each(GOLDEN)('%s with %i steps of warm-up, to the last bit', (type, warmup, want) => {
  expect(want.length).toBe(TOTAL);
  expect(want.map((_, step) => learningRateMultiplier(type, step, warmup, TOTAL))).toEqual(want);
});

type Golden = {
  learning_rate: number;
  schedules: {
    type: SchedulerType;
    kwargs: SchedulerKwargs;
    total: number;
    warmup_steps: number;
    warmup_count: number;
    rates: number[];
  }[];
};
const golden = JSON.parse(readFileSync(new URL('../golden/trainer/schedules.json', import.meta.url), 'utf8')) as Golden;

// transformers computes in double too; only cos and pow may differ, by an ulp or two
const RTOL = 1e-12;

describe("every schedule of transformers' get_scheduler", () => {
  test.each(SCHEDULER_TYPES)('%s', (type) => {
    const runs = golden.schedules.filter((run) => run.type === type);
    expect(runs.length).toBeGreaterThanOrEqual(8);
    for (const { kwargs, total, warmup_steps, warmup_count, rates } of runs) {
      const { learning_rate } = golden;
      expect(resolveWarmupSteps(warmup_steps, total)).toBe(warmup_count);
      expect(rates.length).toBe(total);
      const config = { learning_rate, lr_scheduler_type: type, lr_scheduler_kwargs: kwargs, warmup_steps };
      for (const [step, want] of rates.entries()) {
        const got = learningRateAt(config, step, total);
        const where = `${JSON.stringify(kwargs)}, step ${step} of ${total}, warmup_steps ${warmup_steps}`;
        expect(Math.abs(got - want), where).toBeLessThanOrEqual(RTOL * Math.abs(want));
      }
    }
  });

  test('the golden file holds 19 schedules of eight lengths and warm-ups each', () => {
    expect(golden.schedules.length).toBe(19 * 8);
  });

  test('a warm-up of five steps from a rate of its own reaches 1 at its last', () => {
    // transformers 5.24.0: get_cosine_with_min_lr_schedule_with_warmup_lr_rate(num_warmup_steps=5, num_training_steps=12)
    const want = [0.2, 0.4, 0.6, 0.8, 1, 0.9554359905560885, 0.8305704108364301, 0.6501344202803414];
    const lr_scheduler_kwargs = { min_lr_rate: 0.1, warmup_lr_rate: 0.2 };
    const lr_scheduler_type = 'cosine_warmup_with_min_lr';
    const config = { learning_rate: 1, lr_scheduler_type, lr_scheduler_kwargs, warmup_steps: 5 } as const;
    want.forEach((rate, step) => {
      expect(learningRateAt(config, step, 12)).toBeCloseTo(rate, 12);
    });
  });

  test('lr_scheduler_kwargs: null is the same as none', () => {
    const config = { learning_rate: 2, lr_scheduler_type: 'cosine', warmup_steps: 1 } as const;
    const rate = (lr_scheduler_kwargs: SchedulerKwargs | null) =>
      [0, 1, 2, 3].map((step) => learningRateAt({ ...config, lr_scheduler_kwargs }, step, 4));
    expect(rate(null)).toEqual(rate({}));
    expect(rate({ num_cycles: 1 })).not.toEqual(rate({}));
  });

  test('a learning rate of 0 stays 0', () => {
    for (const type of ['linear', 'cosine', 'inverse_sqrt'] as const) {
      const config = { learning_rate: 0, lr_scheduler_type: type, lr_scheduler_kwargs: null, warmup_steps: 0 };
      expect(learningRateAt(config, 3, 10)).toBe(0);
    }
  });
});

test('never below zero, past the end', () => {
  for (const type of ['linear', 'cosine'] as const)
    expect(learningRateMultiplier(type, 12, 3, TOTAL)).toBeGreaterThanOrEqual(0);
  expect(learningRateMultiplier('linear', 12, 3, TOTAL)).toBe(0);
});

// TrainingArguments.get_warmup_steps of the same version
describe.each([
  [0, [0, 0, 0]],
  [0.25, [3, 2, 25]],
  [0.33, [4, 3, 33]],
  [1, [1, 1, 1]],
  [3, [3, 3, 3]],
])('warmup_steps %d', (setting, want) => {
  test('of 10, 7 and 100 steps', () => {
    expect([10, 7, 100].map((total) => resolveWarmupSteps(setting, total))).toEqual(want);
  });
});
