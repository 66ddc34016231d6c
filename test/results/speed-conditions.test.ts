/** What forbids naming a faster arm. Each obstacle at its bound, and alone: a headline must not name one that is not there. */
import { expect, test } from 'vitest';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { MIN_TIMED_STEPS, speedObstacles, unusualRuns } from '../../src/results/speed-conditions.ts';

type Facts = {
  count?: number | null;
  p50?: number;
  software?: boolean;
  driver?: string;
  otherCpu?: number | null;
  others?: string[];
  clocks?: Record<string, number>;
  seed?: number;
  created?: string;
};

/** The parts of a record that conditions read. */
function run(facts: Facts = {}): RunRecord {
  const { count = MIN_TIMED_STEPS, p50 = 100, software = false, driver = '570.1', otherCpu = 0, others = [] } = facts;
  const { clocks = { graphics: 1980 }, seed = 1, created = '2026-01-01T00:00:00Z' } = facts;
  return {
    run_info: { seed, created_at: created },
    train_info: { step_time_ms: count === null ? null : { count, p50 } },
    meta_info: {
      gpu: { description: 'GPU', driver, software_rendered: software },
      nvidia_smi: { other_processes: others, clocks_after_training: clocks },
      runtime: { other_cpu_share: otherCpu },
    },
  } as unknown as RunRecord;
}

test('times of one quiet device and of enough steps name a winner', () => {
  expect(speedObstacles([run(), run({ otherCpu: 0.1, clocks: { graphics: 2019 } }), run({ otherCpu: null })])).toEqual(
    [],
  );
});

test.each<[Facts, RegExp]>([
  [{ software: true }, /a software driver/],
  [{ driver: '570.2' }, /did not share one device and driver \(GPU, driver 570\.1; GPU, driver 570\.2\)/],
  [{ clocks: { graphics: 2020 } }, /the graphics clock changed/],
  [{ clocks: { graphics: 1940 } }, /the graphics clock changed/],
  [{ others: ['blender'] }, /other programs were on the GPU \(blender\)/],
  [{ otherCpu: 0.11 }, /up to 11 % of the processor/],
  [{ count: MIN_TIMED_STEPS - 1 }, /a run timed 19 steps, and 20 are needed/],
])('%j beside two usual runs is the one obstacle', (facts, said) => {
  const obstacles = speedObstacles([run(), run(facts), run()]);
  expect(obstacles).toHaveLength(1);
  expect(obstacles[0]).toMatch(said);
});

test('a run without times is no obstacle', () => {
  expect(speedObstacles([run(), run({ count: null, software: true, otherCpu: 1 })])).toEqual([]);
});

/** Runs whose middle is 102 and whose median deviation is 1: the line is at 14.826 from it. */
const around = (far: number, created: string) => [
  ...[101, 102, 103, 102].map((p50, i) => run({ p50, seed: i, created: `2026-01-0${2 + i}T00:00:00Z` })),
  run({ p50: far, seed: 9, created }),
];

test('a run far from the median of its arm is named, the first one with a question', () => {
  const [first, last] = ['2026-01-01T00:00:00Z', '2026-01-09T00:00:00Z'];
  expect(unusualRuns('lora', around(116, last))).toEqual([]);
  expect(unusualRuns('lora', around(153, last))).toEqual([
    "lora, seed 9: the median step took 1.50 times that of the arm's median run",
  ]);
  expect(unusualRuns('lora', around(51, last))[0]).toMatch(/took 0\.50 times/);
  expect(unusualRuns('lora', around(153, first))[0]).toMatch(
    /1\.50 times .*, its first run: was the machine still warming up\?$/,
  );
  expect(unusualRuns('lora', around(51, first))[0]).not.toMatch(/warming/);
  expect(unusualRuns('lora', [run(), run({ p50: 500 })])).toEqual([]);
});
