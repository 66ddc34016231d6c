/** Log rows of a run off a terminal: Trainer's means, at most one a second, the first and the last always. */
import { expect, test } from 'vitest';
import { createProgress } from '../../src/cli/shared/progress.ts';
import { trainProgress } from '../../src/cli/shared/train-progress.ts';
import { logRows } from '../../src/cli/train/log.ts';
import type { StepEvent } from '../../src/train/events.ts';

const step = (number: number, totalSteps: number): StepEvent => ({
  type: 'step',
  step: number,
  totalSteps,
  epoch: number / 4,
  loss: number,
  gradNorm: 0.5,
  learningRate: 2e-4,
  finite: true,
  lossScale: null,
  flags: 0,
  stepMs: 1,
  tokens: 1,
  paddedTokens: 1,
  lossTokens: 1,
  samples: 1,
});

test('a row per logging_steps, its loss the mean since the row before, and one for the last step', () => {
  const rowOf = logRows(2);
  expect([1, 2, 3, 4, 5].map((number) => rowOf(step(number, 5)))).toEqual([
    null,
    'step 2/5  loss 1.5000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 0.50',
    null,
    'step 4/5  loss 3.5000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 1.00',
    'step 5/5  loss 5.0000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 1.25',
  ]);
});

/** Writes the log of a run of `steps` steps that take `stepMs` each. */
function written(steps: number, stepMs: number, isTTY = false): string[] {
  const lines: string[] = [];
  let now = 0;
  const stream = { write: (text: string) => lines.push(text), isTTY };
  const progress = createProgress(stream, { NO_COLOR: '1' }, () => now);
  const draw = trainProgress(progress, progress, logRows(1));
  draw({ type: 'phase', phase: 'train', total: steps });
  for (let number = 1; number <= steps; number++) {
    now += stepMs;
    draw(step(number, steps));
  }
  draw(null);
  progress.stop();
  return lines.join('').split('\n').slice(0, -1);
}

const rows = (lines: readonly string[]) => lines.flatMap((line) => /^ {2}step +(\d+)\//.exec(line)?.[1] ?? []);

test('quick steps: the first, one a second, and the last', () => {
  expect(rows(written(5, 10))).toEqual(['1', '5']);
  // 25 steps a second: a row at 40 ms, then one a second later each time
  expect(rows(written(60, 40))).toEqual(['1', '26', '51', '60']);
});

test('slow steps: every one, and no line of the bar beside it', () => {
  const lines = written(4, 5000);
  expect(rows(lines)).toEqual(['1', '2', '3', '4']);
  expect(lines).toHaveLength(6); // "train …" and "✓ train" around them
});

test('a terminal has the bar instead', () => {
  expect(rows(written(5, 10, true))).toEqual([]);
});
