/** Whole runs of transformers' Trainer (test/golden/make/trainer_runs.py), repeated from the same JSONL by train(). */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { nodeReader } from '../../src/formats/node.ts';
import { GOLDEN } from './open.ts';
import { ADAPTER, bytesOf, type Files, type Run, runTraining } from './run.ts';

const TRAINER = path.join(GOLDEN, 'trainer');

type Row = Readonly<Record<string, number>>;
type State = Readonly<Record<string, unknown>> & { readonly log_history: readonly Row[] };
type Golden = { readonly settings: Record<string, unknown>; readonly state: State };

// The reductions of two f32 programs: correct code stays within 3e-7 (loss) and 6e-6 (gradient norm) over 50 steps (design).
const LOSS_RTOL = 1e-6;
const NORM_RTOL = 1e-5;
// Values near 0.1 and rates of 1e-3 to 1e-2: rounding reaches 2e-7, decay on the wrong group 1e-3.
const PARAMETER_ATOL = 2e-6;

const RUNS = ['cosine', 'grouped', 'all-labels', 'full'] as const;
type Name = (typeof RUNS)[number];

function readGolden(name: Name): Golden {
  const json = (file: string) => JSON.parse(readFileSync(path.join(TRAINER, name, file), 'utf8'));
  return { settings: json('settings.json'), state: json('trainer_state.json') };
}

/** The settings of the Trainer's run through our own loader, and what a JSON of TrainingArguments does not say. */
async function repeat(name: Name): Promise<Run> {
  const { settings } = readGolden(name);
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
  const files: Files = new Map(
    ['train.jsonl', 'eval.jsonl'].map((file) => [file, readFileSync(path.join(TRAINER, name, file), 'utf8')]),
  );
  // What `nibble train` takes from adapter_config.json.
  const adapter = full ? {} : { lora_r: 4, lora_alpha: 8, lora_target_modules: ['q_proj', 'o_proj', 'down_proj'] };
  return runTraining({ '.': files }, { ...values, ...adapter });
}

function stateOf(run: Run): State {
  return JSON.parse(Buffer.from(bytesOf(run, 'trainer_state.json')).toString()) as State;
}

function expectWithin(got: number, want: number, rtol: number, what: string): void {
  expect(Math.abs(got - want), `${what}: got ${got}, want ${want}`).toBeLessThanOrEqual(rtol * Math.abs(want));
}

describe.each(RUNS)('the Trainer run %s', (name) => {
  const golden = readGolden(name);
  let run: Run;
  beforeAll(async () => {
    run = await repeat(name);
  });

  test('log_history: the same rows, in order, under the same keys', () => {
    const keys = (rows: readonly Row[]) => rows.map((row) => Object.keys(row));
    expect(keys(stateOf(run).log_history)).toEqual(keys(golden.state.log_history));
  });

  test('step, epoch and learning rate of every row, exactly', () => {
    const exact = (rows: readonly Row[]) =>
      rows.map(({ step, epoch, learning_rate }) => ({ step, epoch, learning_rate }));
    expect(exact(stateOf(run).log_history)).toEqual(exact(golden.state.log_history));
  });

  test('loss, gradient norm and eval_loss of every row', () => {
    const got = stateOf(run).log_history;
    let compared = 0;
    for (const [i, want] of golden.state.log_history.entries()) {
      for (const [key, rtol] of [
        ['loss', LOSS_RTOL],
        ['eval_loss', LOSS_RTOL],
        ['train_loss', LOSS_RTOL],
        ['grad_norm', NORM_RTOL],
      ] as const) {
        if (want[key] === undefined) continue;
        expectWithin(got[i]?.[key] as number, want[key], rtol, `${key} of row ${i}`);
        compared++;
      }
    }
    expect(compared).toBeGreaterThanOrEqual(name === 'grouped' ? 10 : 13);
  });

  test('trainer_state.json: the same keys and, but for the named ones, the same values', () => {
    const got = stateOf(run);
    expect(Object.keys(got)).toEqual(Object.keys(golden.state));
    const { log_history, stateful_callbacks, num_input_tokens_seen, ...want } = golden.state;
    expect(got).toMatchObject(want);
    // the Trainer was not asked to count them
    expect(num_input_tokens_seen).toBe(0);
    expect(got.num_input_tokens_seen).toBe(run.steps.reduce((sum, step) => sum + step.tokens, 0));
    expect(stateful_callbacks).toHaveProperty('TrainerControl');
    const flos = (rows: readonly Row[]) => rows.at(-1)?.total_flos;
    expect(flos(got.log_history)).toBe(flos(log_history));
  });

  test('the parameters at the end', async () => {
    const [folder, file] = name === 'full' ? ['model-final', 'model.safetensors'] : ['adapter-final', ADAPTER];
    const want = await openSafetensors(nodeReader(path.join(TRAINER, name, folder as string)), file as string);
    const got = await openSafetensors(memoryReader(run.files), file as string);
    expect([...got.names()].sort()).toEqual([...want.names()].sort());
    let worst = 0;
    for (const tensor of want.names()) {
      const [a, b] = [await readFloats(got, tensor), await readFloats(want, tensor)];
      b.forEach((value, i) => {
        const difference = Math.abs((a[i] as number) - value);
        worst = difference <= worst ? worst : difference;
      });
    }
    console.log(`${name}: parameters within ${worst.toExponential(1)}`);
    expect(worst).toBeLessThanOrEqual(PARAMETER_ATOL);
  });
});
