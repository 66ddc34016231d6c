/** Rules between evaluations and checkpoints: which combinations are taken, and what follows from one. */
import { describe, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';

const BASE = 'model_name_or_path: m\ndatasets: [{path: a}]\neval_datasets: [{path: b}]\n';
const load = (yaml: string) => loadTrainConfig({ file: { path: 'run.yaml', text: `${BASE}${yaml}\n` } });

function problemsOf(yaml: string): string[] {
  try {
    load(yaml);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

describe('load_best_model_at_end is taken where TrainingArguments of transformers 5.24 takes it', () => {
  test.each([
    // eval_strategy, save_strategy, eval_steps, save_steps, taken
    ['no', 'steps', 2, 4, false],
    ['no', 'epoch', 2, 4, false],
    ['steps', 'no', 2, 4, false],
    ['steps', 'steps', 2, 4, true],
    ['steps', 'steps', 2, 5, false],
    ['steps', 'steps', 0.1, 0.2, true],
    ['steps', 'steps', 0.1, 0.25, false],
    ['steps', 'steps', 2, 0.5, false],
    ['steps', 'steps', 0.1, 4, false],
    ['steps', 'epoch', 2, 4, false],
    ['steps', 'best', 2, 4, true],
    ['epoch', 'no', 2, 4, false],
    ['epoch', 'steps', 2, 4, false],
    ['epoch', 'epoch', 2, 4, true],
    ['epoch', 'best', 2, 4, true],
    // these two pass TrainingArguments and then never save anything
    ['no', 'no', 2, 4, false],
    ['no', 'best', 2, 4, false],
  ])('eval %s, save %s, every %d and %d steps: %s', (eval_strategy, save_strategy, eval_steps, save_steps, taken) => {
    const settings = { eval_strategy, save_strategy, eval_steps, save_steps, load_best_model_at_end: true };
    const yaml = Object.entries(settings).map(([key, value]) => `${key}: ${value}`);
    expect(problemsOf(yaml.join('\n')).length === 0).toBe(taken);
  });
});

test('the metric is loss where a setting compares evaluations, and nothing where none does', () => {
  expect(load('').values.metric_for_best_model).toBeNull();
  const evaluated = 'eval_strategy: steps\neval_steps: 5\n';
  for (const setting of ['load_best_model_at_end: true', 'save_strategy: best', 'early_stopping_patience: 2'])
    expect(load(evaluated + setting).values.metric_for_best_model, setting).toBe('loss');
  const { values } = load(`${evaluated}save_strategy: best\nmetric_for_best_model: eval_loss\ngreater_is_better: true`);
  expect([values.metric_for_best_model, values.greater_is_better]).toEqual(['eval_loss', true]);
});

test('what cannot be is refused by name, and what has no effect is said', () => {
  expect(problemsOf('early_stopping_patience: 3')).toEqual([
    'early_stopping_patience: 3 compares evaluations during the run, and eval_strategy is no; set eval_strategy: steps ' +
      'or epoch, with eval_datasets (run.yaml:4)',
  ]);
  expect(problemsOf('eval_strategy: epoch\nload_best_model_at_end: true')).toEqual([
    'load_best_model_at_end: needs checkpoints where evaluations are: eval_strategy is epoch, save_strategy steps; make ' +
      'them equal, or set save_strategy: best (run.yaml:5)',
  ]);
  expect(problemsOf('max_minutes: 5\nsave_strategy: no')).toEqual([
    'max_minutes: ends the run with a checkpoint, and save_strategy is no; set save_strategy: steps (run.yaml:4)',
  ]);
  expect(problemsOf('metric_for_best_model: accuracy')[0]).toMatch(/^metric_for_best_model: got "accuracy", wanted/);
  expect(problemsOf('save_total_limit: 0')[0]).toMatch(/^save_total_limit: got 0, wanted an integer of at least 1/);
  const paths = load(
    'save_strategy: epoch\nsave_steps: 7\nearly_stopping_threshold: 0.5\ngreater_is_better: true',
  ).notices;
  expect(paths.map(({ path }) => path).sort()).toEqual(['early_stopping_threshold', 'greater_is_better', 'save_steps']);
});

test('resume_from_checkpoint is true or a path, from every source', () => {
  const flag = (value: string | true) =>
    loadTrainConfig({ file: { path: 'run.yaml', text: BASE }, flags: { resume_from_checkpoint: value } }).values
      .resume_from_checkpoint;
  expect([flag(true), flag('true'), flag('false'), flag('out/checkpoint-4')]).toEqual([
    true,
    true,
    false,
    'out/checkpoint-4',
  ]);
});
