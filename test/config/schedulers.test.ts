/** lr_scheduler_type and lr_scheduler_kwargs: from files, flags and the environment, and what is refused. */
import { describe, expect, test } from 'vitest';
import { flagTable, loadTrainConfig, printConfig } from '../../src/config/index.ts';
import { SCHEDULER_TYPES } from '../../src/config/schedulers.ts';
import { ConfigError } from '../../src/errors.ts';

const MINIMAL = { model_name_or_path: 'm', datasets: [{ path: 'a.jsonl' }] };
const load = (settings: object, flags: Record<string, string> = {}, env: Record<string, string> = {}) =>
  loadTrainConfig({ file: { path: 'c.json', text: JSON.stringify({ ...MINIMAL, ...settings }) }, flags, env });

function problemsOf(settings: object, flags?: Record<string, string>): string[] {
  try {
    load(settings, flags);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

test('every schedule that needs no metric is a choice, in the order of the help', () => {
  expect(SCHEDULER_TYPES.length).toBe(10);
  const needed: Record<string, object> = {
    cosine_with_min_lr: { min_lr: 1e-6 },
    cosine_warmup_with_min_lr: { min_lr_rate: 0.1 },
    warmup_stable_decay: { num_decay_steps: 3 },
  };
  for (const type of SCHEDULER_TYPES)
    expect(problemsOf({ lr_scheduler_type: type, lr_scheduler_kwargs: needed[type] ?? {} }), type).toEqual([]);
});

describe('lr_scheduler_kwargs', () => {
  const RESTARTS = { lr_scheduler_type: 'cosine_with_restarts' };

  test.each([
    ['name=value pairs', 'num_cycles=3', { num_cycles: 3 }],
    ['JSON', '{"num_cycles": 3}', { num_cycles: 3 }],
    ['YAML', '{num_cycles: 3}', { num_cycles: 3 }],
    ['null', 'null', null],
  ])('from a flag and from the environment as %s', (_, text, want) => {
    expect(load(RESTARTS, { lr_scheduler_kwargs: text }).values.lr_scheduler_kwargs).toEqual(want);
    expect(load(RESTARTS, {}, { NIBBLE_LR_SCHEDULER_KWARGS: text }).values.lr_scheduler_kwargs).toEqual(want);
  });

  test('several pairs, numbers and texts', () => {
    const text = 'num_decay_steps=5, warmup_type=1-sqrt,min_lr_ratio=1e-1';
    const { values } = load({ lr_scheduler_type: 'warmup_stable_decay' }, { lr_scheduler_kwargs: text });
    expect(values.lr_scheduler_kwargs).toEqual({ num_decay_steps: 5, warmup_type: '1-sqrt', min_lr_ratio: 0.1 });
  });

  test('read back from a printed configuration', () => {
    const first = load({ lr_scheduler_type: 'polynomial', lr_scheduler_kwargs: { lr_end: 1e-6, power: 2 } });
    const again = loadTrainConfig({ file: { path: 'r.yaml', text: printConfig(first) } });
    expect(again.values).toEqual(first.values);
  });

  test('the help says how to type them', () => {
    const row = flagTable().find(({ key }) => key === 'lr_scheduler_kwargs');
    expect(row?.flagType).toBe('name=value pairs with commas between them, or null');
  });
});

describe('what is refused', () => {
  test.each([
    [{ lr_scheduler_kwargs: { num_cycles: 2 } }, ['lr_scheduler_kwargs.num_cycles', 'linear takes none', 'c.json']],
    [
      { lr_scheduler_type: 'polynomial', lr_scheduler_kwargs: { lr_ends: 1e-6 } },
      ['lr_scheduler_kwargs.lr_ends', 'polynomial takes lr_end, power'],
    ],
    [
      { lr_scheduler_type: 'cosine_with_restarts', lr_scheduler_kwargs: { num_cycles: 'two' } },
      ['lr_scheduler_kwargs.num_cycles', 'got "two"', 'number'],
    ],
    [
      { lr_scheduler_type: 'warmup_stable_decay', lr_scheduler_kwargs: { num_decay_steps: 2, decay_type: 'sqrt' } },
      ['lr_scheduler_kwargs.decay_type', '1-sqrt'],
    ],
    [{ lr_scheduler_type: 'inverse_sqrt', lr_scheduler_kwargs: { timescale: 0 } }, ['timescale', 'above 0']],
    [{ lr_scheduler_type: 'warmup_stable_decay' }, ['lr_scheduler_kwargs', 'num_decay_steps', 'c.json']],
    [{ lr_scheduler_type: 'cosine_with_min_lr' }, ['neither min_lr nor min_lr_rate']],
    [
      { lr_scheduler_type: 'cosine_with_min_lr', lr_scheduler_kwargs: { min_lr: 1e-6, min_lr_rate: 0.1 } },
      ['has min_lr and min_lr_rate'],
    ],
    [
      { lr_scheduler_type: 'cosine_with_min_lr', lr_scheduler_kwargs: { min_lr: 1e-6 }, learning_rate: 0 },
      ['no learning_rate above 0'],
    ],
    [
      { lr_scheduler_type: 'polynomial', learning_rate: 1e-5, lr_scheduler_kwargs: { lr_end: 1e-4 } },
      ['lr_end 0.0001 is not below learning_rate 0.00001'],
    ],
    [{ lr_scheduler_type: 'reduce_lr_on_plateau' }, ['lr_scheduler_type', 'follows a metric', 'cosine_with_min_lr']],
    [{ lr_scheduler_type: 'greedy' }, ['lr_scheduler_type', 'follows a metric']],
    [{ train_sampling_strategy: 'batch_rebalance' }, ['train_sampling_strategy', 'not supported yet']],
    [{ warmup_ratio: 1 }, ['warmup_ratio', 'below 1']],
  ])('%j', (settings, says) => {
    const problems = problemsOf(settings);
    expect(problems.length).toBe(1);
    for (const words of says) expect(problems[0]).toContain(words);
  });

  test('a text where pairs are wanted', () => {
    expect(problemsOf({}, { lr_scheduler_kwargs: 'num_cycles' })[0]).toContain('a mapping with num_cycles');
  });
});

test('warmup_ratio, the name up to transformers 4, is read as a fraction of warmup_steps', () => {
  const { values, notices } = load({ warmup_ratio: 0.03 });
  expect(values.warmup_steps).toBe(0.03);
  expect(notices.map(({ message }) => message)).toEqual(['read as warmup_steps (c.json:1)']);
});
