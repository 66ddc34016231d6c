/** What a screen shows of a run's events. */
import { expect, test } from 'vitest';
import { createProgress } from '../../src/cli/shared/progress.ts';
import { trainProgress } from '../../src/cli/shared/train-progress.ts';

test('a checkpoint is named once, though a run that is told to stop names that of its last step again', () => {
  const written: string[] = [];
  const progress = createProgress({ write: (text) => written.push(text) }, { NO_COLOR: '1' });
  const show = trainProgress(progress, progress);
  const event = { type: 'checkpoint', isBest: false, isStop: false } as const;
  show({ ...event, step: 5, path: 'out/checkpoint-5' });
  show({ ...event, step: 10, path: 'out/checkpoint-10', isBest: true });
  show({ ...event, step: 10, path: 'out/checkpoint-10', isStop: true });
  progress.stop();
  expect(written.join('')).toBe('checkpoint: out/checkpoint-5\ncheckpoint: out/checkpoint-10, the best so far\n');
});
