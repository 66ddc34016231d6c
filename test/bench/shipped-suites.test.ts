/** The suites of the package: their arms and cases, the runs they make, and what each arm is estimated to need. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { estimateArm, largestThatFits, withBudget } from '../../src/bench/estimate-arm.ts';
import { turnsOf } from '../../src/bench/turns.ts';
import { loadSuite, type ResolvedSuite } from '../../src/config/index.ts';

const GB = 1e9;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'nibble-shipped-'));
});
afterAll(() => rm(directory, { recursive: true }));

function shipped(name: string): ResolvedSuite {
  const file = new URL(`../../bench/suites/${name}.yaml`, import.meta.url);
  return loadSuite({ file: { path: `${name}.yaml`, text: readFileSync(file, 'utf8') } });
}
const surroundings = () => ({ directory, signal: new AbortController().signal });
const namesOf = ({ cases }: ResolvedSuite) => cases.map(({ name, arms }) => [name, arms.map((arm) => arm.name)]);

test.each([
  ['ablation', 96, 12, 1],
  ['tokens-per-step', 32, 2, 8],
  ['largest-batch', 4, 2, 1],
  ['seq-frontier', 4, 2, 1],
  ['lr-sweep', 60, 2, 5],
  ['litgpt-replica', 4, 2, 1],
  ['model-sizes', 20, 2, 5],
  ['quick', 6, 2, 1],
])('%s: %i runs of %i arms in %i cases', (name, runs, arms, cases) => {
  const suite = shipped(name);
  expect(turnsOf(suite).length).toBe(runs);
  expect(suite.cases.length).toBe(cases);
  for (const entry of suite.cases) expect(entry.arms.length).toBe(arms);
  expect(suite.notices).toEqual([]);
  expect(suite.baseline).toBe('lora');
  expect(suite.description.length).toBeGreaterThan(20);
});

test('ablation has each type with and without double quantization, and every arm has a plan', async () => {
  const [entry] = shipped('ablation').cases;
  const stored = new Map<string, string>(
    entry!.arms.map(({ name, config: { values: v } }) => [
      name,
      v.method === 'qlora' ? `${v.bnb_4bit_quant_type} ${v.bnb_4bit_use_double_quant}` : v.method,
    ]),
  );
  expect(['nf4', 'nf4-double', 'fp4', 'fp4-double', 'int4'].map((name) => stored.get(name))).toEqual([
    'nf4 false',
    'nf4 true',
    'fp4 false',
    'fp4 true',
    'int4 false',
  ]);
  const bytes = new Map<string, number>();
  for (const { name, config } of entry!.arms) bytes.set(name, (await estimateArm(config, surroundings())).peakBytes);
  const at = (name: string): number => bytes.get(name) ?? Number.NaN;
  expect(at('nf4-double')).toBeLessThan(at('nf4'));
  expect(at('fp4')).toBe(at('nf4'));
  expect(at('int4')).toBe(at('nf4'));
  expect(at('nf4')).toBeLessThan(at('lora'));
  expect(at('lora-r2')).toBeLessThan(at('lora'));
  expect(at('lora-r32')).toBeGreaterThan(at('lora'));
});

test('tokens-per-step has 64 to 8,192 tokens a micro-step, doubling', () => {
  const tokens = shipped('tokens-per-step').cases.map(({ name, arms }) => {
    const { per_device_train_batch_size: batch, max_length } = arms[0]!.config.values;
    expect(name).toBe(`t${batch * max_length!}`);
    return batch * max_length!;
  });
  expect(tokens).toEqual([64, 128, 256, 512, 1024, 2048, 4096, 8192]);
});

test('a budget gives each arm the largest batch whose plan fits, and no larger one', async () => {
  const text = `suite: s\nbudget: {memory: 9MB, most: 64}\nbase: {model_name_or_path: builtin:tiny, datasets: [{path: builtin:sotu-train}], max_length: 64, lora_target_modules: all-linear}
arms: {lora: {}, qlora: {method: qlora}}\n`;
  const suite = await withBudget(loadSuite({ file: { path: 's.yaml', text } }), surroundings());
  const batches: number[] = [];
  for (const { config } of suite.cases[0]!.arms) {
    const { per_device_train_batch_size: batch, max_gpu_memory } = config.values;
    expect(max_gpu_memory).toBe('9MB');
    const peak = async (size: number) => {
      const values = { ...config.values, per_device_train_batch_size: size };
      return (await estimateArm({ ...config, values }, surroundings())).peakBytes;
    };
    expect(await peak(batch)).toBeLessThanOrEqual(0.009 * GB);
    expect(await peak(batch + 1)).toBeGreaterThan(0.009 * GB);
    batches.push(batch);
  }
  expect(batches[1]).toBeGreaterThan(batches[0]!);
  const tiny = { ...loadSuite({ file: { path: 's.yaml', text: text.replace('9MB', '1MB') } }) };
  await expect(withBudget(tiny, surroundings())).rejects.toThrow(
    /0\.95 MiB are too little for arms\.lora: with per_device_train_batch_size: 1 it needs/,
  );
});

test.each([
  [1, 0, 0],
  [1, 1, 1],
  [10, 10, 10],
  [10, 100, 10],
  [64, 37, 37],
  [100, 64, 64],
])('of 1 to %i, where up to %i fit, the largest is %i', async (most, fitting, largest) => {
  expect(await largestThatFits(most, async (value) => value <= fitting)).toBe(largest);
});

test('cases of the shipped suites have names that a folder may have', () => {
  expect(namesOf(shipped('lr-sweep')).map(([name]) => name)).toEqual([
    'learning_rate-0.001',
    'learning_rate-0.003',
    'learning_rate-0.01',
    'learning_rate-0.03',
    'learning_rate-0.1',
  ]);
});
