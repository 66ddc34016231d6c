/**
 * Whole runs of TRL's SFTTrainer with packing (test/golden/make/packing_runs.py), repeated from the same JSONL by
 * train().
 */
import { readFileSync } from 'node:fs';
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

const PACKING = path.join(GOLDEN, 'packing');
const LLAMA = {
  model_name_or_path: path.join(GOLDEN, 'llama/untied-gqa-f32'),
  adapter_name_or_path: path.join(GOLDEN, 'trainer/adapter-init'),
  lora_target_modules: ['q_proj', 'o_proj', 'down_proj'],
};
const MISTRAL = {
  model_name_or_path: path.join(GOLDEN, 'architectures/mistral/dense'),
  adapter_name_or_path: path.join(GOLDEN, 'architectures/mistral/adapter-init'),
  lora_target_modules: 'all-linear',
};

/** `compared`: losses (with train_loss), gradient norms and evaluations that the run logged. */
const RUNS = {
  bfd: { base: LLAMA, compared: [25, 24, 2], rows: 30 },
  bfd_split: { base: MISTRAL, compared: [61, 60, 4], rows: 30 },
  wrapped: { base: LLAMA, compared: [13, 12, 2], rows: 29 },
} as const;
type Name = keyof typeof RUNS;

/** Repeats TRL's run with its settings through our loader, and with those that it leaves out. */
async function repeat(name: Name): Promise<Run> {
  const { settings, files } = readGolden(path.join(PACKING, name));
  const ours = {
    ...settings,
    ...RUNS[name].base,
    method: 'lora',
    lora_r: 4,
    lora_alpha: 8,
    datasets: [{ path: 'train.jsonl' }],
    eval_datasets: [{ path: 'eval.jsonl' }],
  };
  const { values } = loadTrainConfig({ file: { path: 'settings.json', text: JSON.stringify(ours) } });
  return runTraining({ '.': files }, values);
}

const { trl } = JSON.parse(readFileSync(path.join(PACKING, 'versions.json'), 'utf8')) as { trl: string };
const figures: Figure[] = [];
afterAll(() =>
  recordFigures('packing', {
    row: 3,
    title: `Runs of SFTTrainer (TRL ${trl}) with packing, repeated from their JSONL`,
    count: 12,
    figures,
  }),
);

describe.each(Object.keys(RUNS) as Name[])('the SFTTrainer run %s', (name) => {
  const golden = readGolden(path.join(PACKING, name));
  const want = golden.state.log_history;
  let run: Run;
  let got: readonly LogRow[];
  beforeAll(async () => {
    run = await repeat(name);
    got = stateOf(run).log_history;
  });
  const reached = (what: string, value: number, bound: number, unit: string) => {
    figures.push({ what: `${name}: ${what}`, reached: value, bound, unit });
    expect(value, what).toBeLessThanOrEqual(bound);
  };

  test('log_history: the same rows under the same keys; step, epoch and rate exactly', () => {
    const keys = (rows: readonly LogRow[]) => rows.map((row) => Object.keys(row));
    expect(keys(got)).toEqual(keys(want));
    expect(exactly(got)).toEqual(exactly(want));
  });

  test('loss, gradient norm and eval_loss of every row', () => {
    const losses = worst(got, want, ['loss', 'train_loss']);
    const norms = worst(got, want, ['grad_norm']);
    const evaluations = worst(got, want, ['eval_loss']);
    expect([losses.compared, norms.compared, evaluations.compared]).toEqual(RUNS[name].compared);
    reached('loss, worst row', losses.worst, LOSS_RTOL, 'relative');
    reached('gradient norm, worst row', norms.worst, NORM_RTOL, 'relative');
    reached('eval_loss, worst row', evaluations.worst, LOSS_RTOL, 'relative');
  });

  test('trainer_state.json: total_flos of tokens without padding, and the counts', () => {
    const { log_history, stateful_callbacks, num_input_tokens_seen, ...rest } = golden.state;
    const state = stateOf(run);
    expect(state).toMatchObject(rest);
    // TRL did not count tokens; without padding, operations are estimated from all of them
    expect(state.num_input_tokens_seen).toBe(run.steps.reduce((sum, step) => sum + step.tokens, 0));
    expect(run.input.train.documents).toBe(40);
    expect(run.input.train.rows.count).toBe(RUNS[name].rows);
  });

  test('the parameters at the end', async () => {
    const error = await parameterError(run, path.join(PACKING, name), ADAPTER);
    reached('parameters at the end, largest difference', error, PARAMETER_ATOL, 'absolute');
  });
});
