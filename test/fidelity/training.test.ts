/** 50 steps against PEFT, every architecture, LoRA on the dense base and QLoRA on the 4-bit one. */
import { afterAll, describe, expect, test } from 'vitest';
import { BOUNDS, type Figures, measure, misses, WHAT } from './compare.ts';
import { type Figure, recordFigures } from './figures.ts';
import { ARCHITECTURES, adapters, METHODS, type Method, tokens } from './golden.ts';
import { reference, trainLike } from './run.ts';

const STEPS = 50;
const RANK = 4;
// 50 steps are 3 s on SwiftShader and two quiet cores, and a minute where others use them
const TIMEOUT_MS = 240_000;
const figures: Figure[] = [];
afterAll(() =>
  recordFigures('training', {
    row: 3,
    title: '50 training steps against PEFT',
    count: ARCHITECTURES.length * Object.keys(METHODS).length * Object.keys(BOUNDS).length,
    figures,
  }),
);

test('the settings are the ones the issue names', () => {
  expect(tokens.steps.length).toBe(STEPS);
  expect(tokens.config).toMatchObject({ learning_rate: 1e-3, weight_decay: 0.1, max_grad_norm: 0.3, max_steps: STEPS });
  expect(tokens.config).toMatchObject({ lr_scheduler_type: 'linear', warmup_steps: 0 });
});

test.each(ARCHITECTURES)('%s starts from an adapter wide of zero, on inputs that are multiples of 64', (name) => {
  const { initial } = adapters(name, 'lora');
  expect(initial.size).toBeGreaterThanOrEqual(2 * 2 * 4); // A and B of 4 linear layers at least, in 2 layers
  for (const [tensor, values] of initial) {
    const std = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
    expect(std, tensor).toBeGreaterThanOrEqual(0.05);
    if (tensor.includes('lora_A')) expect((values.length / RANK) % 64, tensor).toBe(0);
  }
});

describe.each(ARCHITECTURES)('%s', (name) => {
  test.each(Object.keys(METHODS) as Method[])(
    '%s',
    async (method) => {
      const want = reference(name, method);
      expect(want.curve.loss.length).toBe(STEPS);
      expect(Math.min(...want.curve.grad_norm)).toBeGreaterThan(0.3);
      const reached = measure(await trainLike(name, method), want);
      for (const key of Object.keys(WHAT) as (keyof Figures)[]) {
        const [what, unit] = WHAT[key];
        figures.push({ what: `${name}, ${method}: ${what}`, reached: reached[key], bound: BOUNDS[key], unit });
      }
      expect(misses(reached)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
