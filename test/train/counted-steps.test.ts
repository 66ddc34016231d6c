import { expect, test } from 'vitest';
import type { StepEvent } from '../../src/train/events.ts';
import { countedSteps, requireTrained } from '../../src/train/non-finite.ts';

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

/** Steps by a letter each: "g" good, "n" NaN and skipped, "0" good at a learning rate of 0, "-" without a label. */
function stepsOf(letters: string): StepEvent[] {
  return Array.from(letters, (letter) => ({
    lossTokens: letter === '-' ? 0 : 5,
    finite: letter !== 'n',
    loss: letter === 'n' || letter === '-' ? Number.NaN : 1,
    learningRate: letter === '0' ? 0 : 1e-3,
    lossScale: null,
    flags: 0,
  })) as unknown as StepEvent[];
}

test('weights that gave no finite loss up to the end, or were never changed, are not written', () => {
  for (const letters of ['nnn', '0nn', '-nn', '00n'])
    expect(() => requireTrained(stepsOf(letters), 'model'), letters).toThrow(/so nothing was trained and no weights/);
  for (const letters of ['gnn', 'gggnnn', `${'g'.repeat(90)}${'n'.repeat(10)}`, 'gn-n'])
    expect(() => requireTrained(stepsOf(letters), 'model'), letters).toThrow(/steps gave no finite loss/);
  for (const letters of ['ggg', '00', '---', 'gn', 'nng', 'ggggnn', 'gnngn-', `${'g'.repeat(91)}${'n'.repeat(9)}`])
    expect(() => requireTrained(stepsOf(letters), 'model'), letters).not.toThrow();
  expect(() => requireTrained(stepsOf('gnn'), 'model', true)).not.toThrow();
  expect(() => requireTrained(stepsOf('0nn'), 'model')).toThrow(
    'every one of 2 updates was skipped (gradients were not finite), the others had no label or a learning rate of 0',
  );
});
