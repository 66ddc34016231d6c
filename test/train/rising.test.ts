/** Advice during a run, of an evaluation loss that rises. */
import { expect, test } from 'vitest';
import { riseAdvice } from '../../src/train/rising.ts';
import { configOf } from './run.ts';

function told(losses: readonly number[], more = {}) {
  const evaluations = losses.map((evalLoss, i) => ({ step: 10 * i, epoch: i, result: { evalLoss } }) as never);
  return riseAdvice(evaluations, configOf(more));
}

test('is said at the second rise in a row, once, with the values and the best step', () => {
  const losses = [3, 2, 2.1, 2.25, 2.5];
  expect(losses.map((_, i) => told(losses.slice(0, i + 1))?.code)).toEqual([
    undefined,
    undefined,
    undefined,
    'eval_rises',
    undefined,
  ]);
  const advice = told(losses.slice(0, 4));
  expect(advice?.message).toContain('twice in a row: 2.0000 (step 10), 2.1000 (step 20), 2.2500 (step 30)');
  expect(advice?.fix).toMatch(/^load_best_model_at_end: true .* of step 10, early_stopping_patience: 2/);
  expect(told([3, 3.1, 3, 3.1])).toBeNull();
  expect(told([3, Number.NaN, 3.1])).toBeNull();
});

test('names what is not set already, and is silent where both are', () => {
  const rising = [1, 2, 3];
  expect(told(rising, { load_best_model_at_end: true })?.fix).toMatch(/^early_stopping_patience: 2/);
  expect(told(rising, { early_stopping_patience: 3 })?.fix).not.toContain('early_stopping');
  expect(told(rising, { load_best_model_at_end: true, early_stopping_patience: 3 })).toBeNull();
});
