import { expect, test } from 'vitest';
import { countedSteps } from '../../src/train/non-finite.ts';

const step = (name: string, lossTokens: number, finite: boolean, lossScale: number | null = null) => ({
  name,
  lossTokens,
  finite,
  lossScale,
});
const names = (steps: readonly { name: string }[]) => steps.map(({ name }) => name);

test('statistics stand on steps with a label whose update was not left out', () => {
  const steps = [
    step('good', 7, true),
    step('one label', 1, true),
    step('no label', 0, true),
    step('broken', 7, false),
    step('skipped by its loss scale', 7, false, 1024),
    step('good under a loss scale', 7, true, 512),
  ];
  expect(names(countedSteps(steps, true))).toEqual(['good', 'one label', 'good under a loss scale']);
  // a broken step that was not skipped makes the run diverge, and has to be seen
  expect(names(countedSteps(steps, false))).toEqual(['good', 'one label', 'broken', 'good under a loss scale']);
});
