/** Whole runs of transformers' Trainer (test/golden/make/trainer_runs.py), repeated from the same JSONL by train(). */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { type Figure, recordFigures } from '../fidelity/figures.ts';
import { GOLDEN } from './open.ts';
import { ADAPTER, type Run, runTraining } from './run.ts';
import {
  exactly,
  LOSS_RTOL,
  type LogRow,
  NORM_RTOL,
  PARAMETER_ATOL,
  parameterError,
  readGolden,
  stateOf,
  worst,
} from './trainer-golden.ts';

const TRAINER = path.join(GOLDEN, 'trainer');

const RUNS = ['cosine', 'grouped', 'all-labels', 'full'] as const;
type Name = (typeof RUNS)[number];
/** Losses (with train_loss), gradient norms and evaluations that each run logged. */
const COMPARED: Record<Name, number[]> = {
  cosine: [9, 8, 3],
  grouped: [4, 3, 3],
  'all-labels': [6, 5, 2],
  full: [7, 6, 0],
};

/** Repeats the Trainer's run with its settings through our loader, and with those that TrainingArguments lack. */
async function repeat(name: Name): Promise<Run> {
  const { settings, files } = readGolden(path.join(TRAINER, name));
  const full = name === 'full';
  const ours = {
    ...settings,
    method: full ? 'full' : 'lora',
    model_name_or_path: path.join(GOLDEN, full ? 'trainer/full-base' : 'llama/untied-gqa-f32'),
    datasets: [{ path: 'train.jsonl' }],
    eval_datasets: settings.eval_strategy === 'no' ? [] : [{ path: 'eval.jsonl' }],
    ...(name === 'all-labels' ? { loss_denominator: 'all_labels' } : {}),
    ...(full ? {} : { adapter_name_or_path: path.join(TRAINER, 'adapter-init') }),
  };
  const { values } = loadTrainConfig({ file: { path: 'settings.json', text: JSON.stringify(ours) } });
  // settings that `nibble train` takes from adapter_config.json
  const adapter = full ? {} : { lora_r: 4, lora_alpha: 8, lora_target_modules: ['q_proj', 'o_proj', 'down_proj'] };
  return runTraining({ '.': files }, { ...values, ...adapter });
}

/** Folder and file of the final parameters. */
const finalOf = (name: Name): [folder: string, file: string] =>
  name === 'full' ? ['model-final', 'model.safetensors'] : ['adapter-final', ADAPTER];

const figures: Figure[] = [];
afterAll(() =>
  recordFigures('trainer', {
    row: 3,
    title: "Whole runs of transformers' Trainer, repeated from their JSONL",
    count: 19,
    figures,
  }),
);

describe.each(RUNS)('the Trainer run %s', (name) => {
  const golden = readGolden(path.join(TRAINER, name));
  const want = golden.state.log_history;
  let run: Run;
  let got: readonly LogRow[];
  beforeAll(async () => {
    run = await repeat(name);
    got = stateOf(run).log_history;
  });
  const reached = (what: string, value: number, bound: number, unit: string) =>
    figures.push({ what: `${name}: ${what}`, reached: value, bound, unit });

  test('log_history: the same rows, in order, under the same keys', () => {
    const keys = (rows: readonly LogRow[]) => rows.map((row) => Object.keys(row));
    expect(keys(got)).toEqual(keys(want));
  });

  test('step, epoch and learning rate of every row, exactly', () => {
    const differing = exactly(got).filter((row, i) => JSON.stringify(row) !== JSON.stringify(exactly(want)[i]));
    reached('rows whose step, epoch or rate differs', differing.length, 0, 'rows');
    expect(exactly(got)).toEqual(exactly(want));
  });

  test('loss, gradient norm and eval_loss of every row', () => {
    const losses = worst(got, want, ['loss', 'train_loss']);
    const norms = worst(got, want, ['grad_norm']);
    reached('loss, worst row', losses.worst, LOSS_RTOL, 'relative');
    reached('gradient norm, worst row', norms.worst, NORM_RTOL, 'relative');
    expect(losses.worst).toBeLessThanOrEqual(LOSS_RTOL);
    expect(norms.worst).toBeLessThanOrEqual(NORM_RTOL);
    const evaluations = worst(got, want, ['eval_loss']);
    expect([losses.compared, norms.compared, evaluations.compared]).toEqual(COMPARED[name]);
    if (evaluations.compared === 0) return;
    reached('eval_loss, worst row', evaluations.worst, LOSS_RTOL, 'relative');
    expect(evaluations.worst).toBeLessThanOrEqual(LOSS_RTOL);
  });

  test('trainer_state.json: the same keys and, but for the named ones, the same values', () => {
    const state = stateOf(run);
    expect(Object.keys(state)).toEqual(Object.keys(golden.state));
    const { log_history, stateful_callbacks, num_input_tokens_seen, ...rest } = golden.state;
    expect(state).toMatchObject(rest);
    // the Trainer did not count tokens
    expect(num_input_tokens_seen).toBe(0);
    expect(state.num_input_tokens_seen).toBe(run.steps.reduce((sum, step) => sum + step.tokens, 0));
    expect(stateful_callbacks).toHaveProperty('TrainerControl');
    expect(got.at(-1)?.total_flos).toBe(log_history.at(-1)?.total_flos);
  });

  test('the parameters at the end', async () => {
    const [folder, file] = finalOf(name);
    const error = await parameterError(run, path.join(TRAINER, name, folder), file);
    reached('parameters at the end, largest difference', error, PARAMETER_ATOL, 'absolute');
    expect(error).toBeLessThanOrEqual(PARAMETER_ATOL);
  });
});
