/** Log rows of a run off a terminal: Trainer's means, at most one in two seconds, the first and the last always. */
import { expect, test } from 'vitest';
import { createProgress } from '../../src/cli/shared/progress.ts';
import { trainProgress } from '../../src/cli/shared/train-progress.ts';
import { logRows } from '../../src/cli/train/log.ts';
import { emptyCategoryBytes } from '../../src/gpu/category.ts';
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
    'step 2/5  loss 1.5000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 0.50  1,000 tokens/s',
    null,
    'step 4/5  loss 3.5000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 1.00  1,000 tokens/s',
    'step 5/5  loss 5.0000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 1.25  1,000 tokens/s',
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

test('quick steps: the first, one in two seconds, and the last', () => {
  expect(rows(written(5, 10))).toEqual(['1', '5']);
  // 25 steps a second: a row at 40 ms, then one two seconds later each time
  expect(rows(written(120, 40))).toEqual(['1', '51', '101', '120']);
});

test('a row ends with the speed and the time left, which the last one has not', () => {
  expect(written(3, 5000).filter((line) => line.startsWith('  step'))).toEqual([
    '  step 1/3  loss 1.0000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 0.25  1,000 tokens/s  2.00 ms left',
    '  step 2/3  loss 2.0000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 0.50  1,000 tokens/s  1.00 ms left',
    '  step 3/3  loss 3.0000  grad_norm 0.5000  learning_rate 2.000e-4  epoch 0.75  1,000 tokens/s',
  ]);
});

test('slow steps: every one, and no line of the bar beside it', () => {
  const lines = written(4, 5000);
  expect(rows(lines)).toEqual(['1', '2', '3', '4']);
  expect(lines).toHaveLength(6); // "train …" and "✓ train" around them
});

/** What a terminal shows at last of lines that are written over. */
function screen(lines: readonly string[]): string[] {
  const shown: string[] = [];
  for (const line of lines) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what erases
    const [, up, rest = ''] = /^(?:\x1b\[(\d+)A\r\x1b\[J)?(.*)$/.exec(line) ?? [];
    if (up !== undefined) shown.splice(shown.length - Number(up));
    shown.push(rest);
  }
  return shown;
}

test('on a terminal rows scroll by, two a second at most, above a bar that goes on counting', () => {
  expect(rows(screen(written(60, 40, true)))).toEqual(['1', '14', '27', '40', '53', '60']);
});

test('the live line has step, time left, speed, GPU memory and loss, and goes on after an evaluation', () => {
  const text: string[] = [];
  const stream = { write: (part: string) => text.push(part), isTTY: true, columns: 200 };
  const progress = createProgress(stream, { NO_COLOR: '1' }, () => 0);
  const draw = trainProgress(progress, progress);
  const live = (): string =>
    text
      .join('')
      .split('\n')
      .at(-2)
      ?.replace(/^.*\[J/, '') ?? '';
  draw({ type: 'phase', phase: 'train', total: 4 });
  draw({ type: 'memory', liveBytes: 3 * 2 ** 20, peakBytes: 5 * 2 ** 20, byCategory: emptyCategoryBytes() });
  draw({ ...step(1, 4), stepMs: 60_000, tokens: 150 });
  draw({ ...step(2, 4), stepMs: 60_000, tokens: 150 });
  progress.note('');
  const speed = '2.5 tokens/s  GPU 3.00 MiB, peak 5.00 MiB';
  expect(live()).toBe(`train  ${'█'.repeat(12)}${'░'.repeat(12)}  2/4  2 min 00 s left  ${speed}  loss 2.0000`);
  const result = { evalLoss: 1, perplexity: 3, tokenLoss: 1, stderr: 0, lossTokens: 1, samples: 1, seconds: 120 };
  draw({ type: 'phase', phase: 'eval', total: 1 });
  draw({ type: 'eval', step: 2, epoch: 1, result: { ...result, rows: { sums: [], tokens: [] } } });
  draw({ type: 'phase', phase: 'train', total: 2 });
  progress.note('');
  expect(live()).toContain('  2/4  ');
  draw({ ...step(3, 4), stepMs: 60_000, tokens: 150 });
  progress.note('');
  // three steps and an evaluation took five minutes
  expect(live()).toContain(`  3/4  1 min 40 s left  ${speed}  loss 3.0000`);
  progress.stop();
});
