/** Seven bugs, planted one at a time in nibble's own run: the comparison that the sound run passes must fail each. */
import { afterAll, expect, test } from 'vitest';
import { BOUNDS, type Figures, measure, misses, WHAT } from './compare.ts';
import { type Figure, recordFigures } from './figures.ts';
import { folder } from './golden.ts';
import { changed, type Planted, reference, trainLike } from './run.ts';

const BUGS: Readonly<Record<string, Planted>> = {
  'Adam epsilon 1e-6 for 1e-8': { settings: { adam_epsilon: 1e-6 } },
  'beta2 0.99 for 0.999': { settings: { adam_beta2: 0.99 } },
  'weight decay left out': { settings: { weight_decay: 0 } },
  'learning rate +1 %': { settings: { learning_rate: 1.01e-3 } },
  'clipping left out': { settings: { max_grad_norm: 0 } },
  'RMSNorm epsilon 1e-4 for 1e-5': { model: { rms_norm_eps: 1e-4 } },
  'alpha -1 %': { adapter: { lora_alpha: 7.92 } },
};

// as in training.test.ts
const TIMEOUT_MS = 240_000;

const figures: Figure[] = [];
afterAll(() =>
  recordFigures('training-planted-bugs', {
    row: 3,
    title: 'Seven bugs planted in the Llama LoRA run, each of which the same comparison must fail',
    count: Object.keys(BUGS).length * (1 + Object.keys(BOUNDS).length),
    figures,
  }),
);

test(
  'the run without a bug passes',
  async () => {
    const reached = measure(await trainLike('llama', 'lora'), reference('llama', 'lora'));
    expect(misses(reached)).toEqual([]);
  },
  TIMEOUT_MS,
);

test('there are seven', () => expect(Object.keys(BUGS).length).toBe(7));

test.each(Object.entries(BUGS))(
  '%s fails',
  async (title, planted) => {
    const reached = measure(await trainLike('llama', 'lora', planted), reference('llama', 'lora'));
    const missed = misses(reached);
    const passes = missed.length === 0 ? 1 : 0;
    figures.push({ what: `${title}: comparisons passed`, reached: passes, bound: 0, unit: 'of 1' });
    for (const key of Object.keys(BOUNDS) as (keyof Figures)[]) {
      const [what, unit] = WHAT[key];
      figures.push({ what: `${title}: ${what}`, reached: reached[key], bound: null, unit });
    }
    // a bug that only shows as NaN would say nothing of the tolerances
    for (const figure of Object.values(reached)) expect(figure).toBeLessThan(1);
    expect(missed).not.toEqual([]);
  },
  TIMEOUT_MS,
);

test('a bug in a setting that does not exist is not a bug', () => {
  expect(() => changed(folder('llama', 'dense'), 'config.json', { rms_norm_epsilon: 1 })).toThrow('rms_norm_epsilon');
});
