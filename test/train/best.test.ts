/** The best evaluation, early stopping and the checkpoints that are kept, as transformers 5.24 has them. */
import { describe, expect, test } from 'vitest';
import { afterEvaluation, afterSaving, type BestState, isExhausted, NOTHING_YET } from '../../src/train/best.ts';
import {
  type CheckpointStore,
  checkpointName,
  rotateCheckpoints,
  stepOfCheckpoint,
} from '../../src/train/checkpoint-store.ts';
import { isSaveDue } from '../../src/train/saving.ts';
import { configOf } from './run.ts';

const settings = configOf({ metric_for_best_model: 'loss', eval_strategy: 'steps', save_strategy: 'steps' });

/** States after evaluations at steps 2, 4 and so on. */
function states(losses: readonly number[], more: Partial<typeof settings> = {}): BestState[] {
  const all: BestState[] = [];
  for (const [i, evalLoss] of losses.entries())
    all.push(afterEvaluation(all.at(-1) ?? NOTHING_YET, { ...settings, ...more }, 2 * (i + 1), { evalLoss }).state);
  return all;
}

describe('the best evaluation', () => {
  test('is the lowest loss, the first among equals, and never NaN', () => {
    const best = states([3, Number.NaN, 2, 2, 2.5]).map(({ metric, step }) => [metric, step]);
    expect(best).toEqual([
      [3, 2],
      [3, 2],
      [2, 6],
      [2, 6],
      [2, 6],
    ]);
    expect(states([Number.NaN, 4])[0]).toEqual({ ...NOTHING_YET, patience: 0 });
  });

  test('is the highest with greater_is_better; without a metric or evaluations during the run there is none', () => {
    expect(states([3, 5, 4], { greater_is_better: true }).at(-1)).toMatchObject({ metric: 5, step: 4 });
    expect(states([3, 2], { metric_for_best_model: null }).at(-1)).toEqual(NOTHING_YET);
    expect(states([3, 2], { eval_strategy: 'no' }).at(-1)).toEqual(NOTHING_YET);
    expect(states([3, 2], { save_strategy: 'no' }).at(-1)).toMatchObject({ metric: 2, step: null });
  });

  test('has a checkpoint once one of its step is saved; an older one stays until then', () => {
    const [, second] = states([3, 2]) as [BestState, BestState];
    const older = { ...second, checkpoint: 'checkpoint-2' };
    expect(afterSaving(older, ['checkpoint-2', 'checkpoint-6'], checkpointName).checkpoint).toBe('checkpoint-2');
    expect(afterSaving(older, ['checkpoint-2', 'checkpoint-4'], checkpointName).checkpoint).toBe('checkpoint-4');
  });
});

test('early stopping counts evaluations that are not better by more than the threshold, as EarlyStoppingCallback', () => {
  const more = { early_stopping_patience: 2, early_stopping_threshold: 0.5 };
  const of = (losses: readonly number[]) => states(losses, more).map(({ patience }) => patience);
  // 2.8 is the new best and still not better by more than 0.5 than 3
  expect(of([3, 2.8, 2.2, 2.2, 2.3])).toEqual([0, 1, 0, 1, 2]);
  const exhausted = states([3, 2.8, 2.2, 2.2, 2.3], more).map((state) => isExhausted(state, { ...settings, ...more }));
  expect(exhausted).toEqual([false, false, false, false, true]);
});

test('a checkpoint is due by steps, by epochs or for the best; at the last step too', () => {
  const due = (
    save_strategy: typeof settings.save_strategy,
    end: { step: number; epoch: number; isBest?: boolean; isLast?: boolean },
  ) => isSaveDue({ save_strategy }, { saveSteps: 4 }, { isBest: false, isLast: false, ...end });
  expect([3, 4, 8].map((step) => due('steps', { step, epoch: 0.1 }))).toEqual([false, true, true]);
  expect([0.5, 1].map((epoch) => due('epoch', { step: 3, epoch }))).toEqual([false, true]);
  const last = { step: 5, epoch: 0.7, isLast: true };
  expect([due('steps', last), due('epoch', last), due('best', last), due('no', last)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(due('best', { step: 5, epoch: 0.7, isBest: true })).toBe(true);
});

describe('save_total_limit deletes as rotate_checkpoints does', () => {
  const rotated = async (names: string[], limit: number | null, best: string | null): Promise<string[]> => {
    const there = [...names];
    const store = {
      names: async () => [...there],
      remove: async (name: string) => void there.splice(there.indexOf(name), 1),
    } as unknown as CheckpointStore;
    await rotateCheckpoints(store, { limit, newest: names.at(-1) as string, best });
    return there.map((name) => String(stepOfCheckpoint(name)));
  };
  const five = [1, 2, 3, 4, 5].map(checkpointName);
  test.each([
    [null, null, ['1', '2', '3', '4', '5']],
    [2, null, ['4', '5']],
    [2, 'checkpoint-2', ['2', '5']],
    [3, 'checkpoint-1', ['1', '4', '5']],
    // the best and the newest are two, whatever the limit
    [1, 'checkpoint-2', ['2', '5']],
    [1, 'checkpoint-5', ['5']],
  ] as const)('limit %s, best %s', async (limit, best, left) => {
    expect(await rotated(five, limit, best)).toEqual(left);
  });

  test('names that are no checkpoints are left alone', () => {
    expect(['checkpoint-', 'checkpoint-1.ab.tmp', 'checkpoint-x', 'my-checkpoint-3'].map(stepOfCheckpoint)).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });
});
