/** Whole float16 runs: the loss scale in the log, the rate after a skipped step, and weights that f16 cannot hold. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import type { StepEvent, TrainEvent } from '../../src/train/events.ts';
import { learningRateAt } from '../../src/train/schedule.ts';
import { rejection } from '../formats/files.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { GOLDEN } from './open.ts';
import { bytesOf, copyModel, type Files, learnableRows, type Run, runTraining } from './run.ts';

const BASE = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
const rows: Files = new Map([
  ['rows.jsonl', learnableRows(1, 16, 20, 160)],
  ['eval.jsonl', learnableRows(2, 6, 20, 160)],
]);

type Row = Readonly<Record<string, number>>;
const logOf = (run: Run): Row[] => {
  const state = JSON.parse(Buffer.from(bytesOf(run, 'trainer_state.json')).toString()) as { log_history: Row[] };
  return state.log_history.filter((row) => 'loss' in row);
};

itFloat16('skipped steps keep the learning rate, as in Trainer; the log has the scale and their number', async () => {
  const run = await runTraining(
    { '.': rows },
    { model_name_or_path: BASE, compute_dtype: 'float16', init_scale: 2 ** 24, max_steps: 12 },
  );
  const skipped = run.steps.map(({ finite }) => !finite);
  const before = (i: number) => skipped.slice(0, i).filter((s) => s).length;
  expect(before(12)).toBeGreaterThan(1);
  expect(before(12)).toBeLessThan(11);
  // warm-up runs every plan once, and the first step still starts from init_scale
  expect(run.steps[0]?.lossScale).toBe(2 ** 24);
  run.steps.forEach((step, i) => {
    expect(step.lossScale).toBe(2 ** (24 - before(i)));
    expect(step.learningRate).toBe(learningRateAt(run.input.config, i - before(i), 12));
  });
  expect(logOf(run).map((row) => row.loss_scale)).toEqual(run.steps.map((s) => s.lossScale));
  expect(logOf(run).map((row) => row.skipped_steps)).toEqual(run.steps.map((_, i) => before(i + 1)));
});

test('the log of a float32 run has neither', async () => {
  const run = await runTraining({ '.': rows }, { model_name_or_path: BASE, max_steps: 2 });
  expect(run.steps.map(({ lossScale }) => lossScale)).toEqual([null, null]);
  for (const row of logOf(run))
    expect(Object.keys(row)).toEqual(['epoch', 'grad_norm', 'learning_rate', 'loss', 'step']);
});

const NAME = 'model.layers.0.mlp.up_proj.weight';
const tooLarge = () =>
  copyModel(BASE, (name, values) => (name === NAME ? values.map((v, i) => (i === 77 ? 1e5 : v)) : values));

itFloat16(
  'a weight beyond float16 is named in every step and evaluation; the run ends in an error, no weights',
  async () => {
    const model = await tooLarge();
    const events: TrainEvent[] = [];
    const files: Files = new Map();
    const evaluated = { eval_datasets: [{ path: 'eval.jsonl' }], eval_strategy: 'steps' as const, eval_steps: 2 };
    const error = await rejection(
      runTraining(
        { '.': rows, model },
        { compute_dtype: 'float16', max_steps: 2, on_nan: 'skip', ...evaluated },
        { onEvent: (event) => events.push(event), files },
      ),
    );
    const steps = events.filter((e): e is StepEvent => e.type === 'step');
    expect(steps.map(({ finite, flags }) => [finite, flags & FLAG.weight])).toEqual([
      [false, FLAG.weight],
      [false, FLAG.weight],
    ]);
    const notes = events.flatMap((e) => (e.type === 'note' ? [e.text] : []));
    expect(notes.filter((text) => text.startsWith('evaluation after step 2: a weight beyond the range'))).toHaveLength(
      1,
    );
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(
      /^model: every one of 2 updates was skipped \(.*a weight beyond the range of float16/,
    );
    expect([...files.keys()]).toEqual(['trainer_state.json', 'interrupted.json']);
  },
);

test('stored as float16, it is refused: tensor, element, and what to set', async () => {
  const model = await tooLarge();
  const run = runTraining({ '.': rows, model }, { dtype: 'float16', max_steps: 1 });
  await expect(run).rejects.toThrow(
    /^model\.layers\.0\.mlp\.up_proj\.weight: element 77 of \d+ is beyond the range of float16 \(65504\).*set dtype: auto/,
  );
});
