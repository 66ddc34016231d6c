/** Whole runs: full training and its saved model, trainer_state.json, weights and gradients that are not finite. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { rejection } from '../formats/files.ts';
import { expectSameBytes } from '../wasm/helpers.ts';
import { GOLDEN } from './open.ts';
import { ADAPTER, bytesOf, copyModel, type Files, learnableRows, runTraining } from './run.ts';

const BASE = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const HIDDEN = 16;
const rows: Files = new Map([
  ['rows.jsonl', learnableRows(1, 12, 12, 32)],
  ['eval.jsonl', learnableRows(2, 5, 12, 32)],
]);
const evaluation = { eval_datasets: [{ path: 'eval.jsonl' }], eval_on_start: true, per_device_eval_batch_size: 2 };
const onBase = { model_name_or_path: BASE };

describe('method full', () => {
  test('the loss falls, and the saved directory reloads with the same evaluation loss', async () => {
    const config = { ...onBase, ...evaluation, method: 'full', max_steps: 12, learning_rate: 2e-2 } as const;
    const run = await runTraining({ '.': rows }, config);
    const { evalBefore, evalAfter } = run.result;
    expect(run.losses.at(-1)).toBeLessThan((run.losses[0] as number) - 0.5);
    expect(evalAfter?.evalLoss).toBeLessThan((evalBefore?.evalLoss as number) - 0.5);
    expect(run.files.has(ADAPTER)).toBe(false);
    expect(JSON.parse(Buffer.from(bytesOf(run, 'config.json')).toString())).toMatchObject({ dtype: 'float32' });
    const again = await runTraining(
      { '.': rows, saved: run.files },
      { ...config, model_name_or_path: 'saved', max_steps: 1, learning_rate: 0 },
    );
    // f32 weights, the same programs: the same bits
    expect(again.result.evalBefore?.evalLoss).toBe(evalAfter?.evalLoss);
    // a learning rate of 0 changes nothing
    expectSameBytes(bytesOf(again, 'model.safetensors'), bytesOf(run, 'model.safetensors'));
  });

  test.each(['llama-tied-f16', 'llama-sharded-bf16'])('%s is saved in the dtype it came in', async (name) => {
    const config = { ...evaluation, method: 'full', model_name_or_path: path.join(GOLDEN, 'formats', name) } as const;
    const run = await runTraining({ '.': rows }, { ...config, max_steps: 2 });
    const source = await openSafetensors(memoryReader(run.files), 'model.safetensors');
    expect(source.has('lm_head.weight')).toBe(name !== 'llama-tied-f16');
    const dtypes = new Set(source.names().map((n) => source.info(n).dtype));
    expect([...dtypes]).toEqual([name === 'llama-tied-f16' ? 'F16' : 'BF16']);
    const again = await runTraining(
      { '.': rows, saved: run.files },
      { ...config, model_name_or_path: 'saved', max_steps: 1, learning_rate: 0 },
    );
    // saving rounds weights to 8 or 11 bits
    const [got, want] = [again.result.evalBefore?.evalLoss as number, run.result.evalAfter?.evalLoss as number];
    expect(Math.abs(got - want) / want).toBeLessThan(2e-2);
  });
});

test('trainer_state.json: Hugging Face names, full precision, the mean of the steps since the last row', async () => {
  const run = await runTraining(
    { '.': rows },
    {
      ...onBase,
      ...evaluation,
      max_steps: 7,
      logging_steps: 2,
      eval_strategy: 'steps',
      eval_steps: 3,
      learning_rate: 1e-3,
    },
  );
  const state = JSON.parse(Buffer.from(bytesOf(run, 'trainer_state.json')).toString()) as Record<string, unknown>;
  expect(state).toMatchObject({
    global_step: 7,
    max_steps: 7,
    num_train_epochs: 2,
    train_batch_size: 2,
    logging_steps: 2,
    eval_steps: 3,
    // 12 rows in pairs are 6 steps an epoch; every row has 12 tokens
    epoch: 7 / 6,
    num_input_tokens_seen: 7 * 2 * 12,
  });
  const history = state.log_history as Record<string, number>[];
  const logged = history.filter((r) => 'loss' in r);
  expect(logged.map((r) => r.step)).toEqual([2, 4, 6]);
  logged.forEach((row, i) => {
    const [first, second] = run.steps.slice(2 * i, 2 * i + 2);
    if (first === undefined || second === undefined) throw new Error('no steps');
    expect(Object.keys(row)).toEqual(['epoch', 'grad_norm', 'learning_rate', 'loss', 'step']);
    expect(row.loss).toBe((first.loss + second.loss) / 2);
    expect(row.grad_norm).toBe(second.gradNorm);
    expect(row.learning_rate).toBe(second.learningRate);
    expect(row.epoch).toBe(second.step / 6);
  });
  expect(run.steps.map((s) => s.learningRate)).toEqual([0, 1, 2, 3, 4, 5, 6].map((s) => 1e-3 * ((7 - s) / 7)));
  const evaluated = history.filter((r) => 'eval_loss' in r);
  expect(evaluated.map((r) => r.step)).toEqual([0, 3, 6, 7]);
  expect(evaluated[0]?.eval_loss).toBe(run.result.evalBefore?.evalLoss);
  expect(evaluated[3]?.eval_loss).toBe(run.result.evalAfter?.evalLoss);
  for (const row of evaluated) expect(row.eval_samples_per_second).toBeGreaterThan(0);
  const last = history.at(-1) as Record<string, number>;
  expect(last.train_loss).toBe(run.losses.reduce((sum, l) => sum + l, 0) / 7);
  expect(last.train_runtime).toBeGreaterThan(0);
});

describe('what is not finite', () => {
  test.each([Number.NaN, Number.NEGATIVE_INFINITY])(
    '%d in a weight to quantize: a DataError naming tensor and index',
    async (bad) => {
      const tensor = 'model.layers.0.mlp.up_proj.weight';
      const broken = await copyModel(BASE, (name, values) => {
        if (name === tensor) values[77] = bad;
        return values;
      });
      const config = { model_name_or_path: 'broken', method: 'qlora', load_in_4bit: true } as const;
      const error = await rejection(runTraining({ '.': rows, broken }, config));
      expect(error.name).toBe('DataError');
      expect(error.message).toContain(tensor);
      expect(error.message).toMatch(/\b77\b/);
      expect(error.message).toContain(Number.isNaN(bad) ? 'NaN' : 'Inf');
    },
  );

  test('a gradient: the update is skipped and reported, the run goes on', async () => {
    // only token 31 has a first element, which a weight of the first norm takes beyond float32; the second step alone reads it
    const broken = await copyModel(BASE, (name, values) => {
      if (name === 'model.embed_tokens.weight')
        for (let i = 0; i < values.length; i += HIDDEN) values[i] = i === 31 * HIDDEN ? 1 : 0;
      if (name === 'model.layers.0.input_layernorm.weight') values[0] = 3e38;
      return values;
    });
    const clean = learnableRows(4, 6, 12, 30).trim().split('\n');
    const poisoned = JSON.stringify({ input_ids: [31, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] });
    const data: Files = new Map([['rows.jsonl', [...clean.slice(0, 2), poisoned, ...clean.slice(3)].join('\n')]]);
    const config = {
      model_name_or_path: 'broken',
      lr_scheduler_type: 'constant',
      lora_r: 2,
      on_nan: 'skip',
    } as const;
    const run = (max_steps: number) => runTraining({ '.': data, broken }, { ...config, max_steps });
    const [one, two, three] = [await run(1), await run(2), await run(3)];
    expect(three.steps.map((s) => s.finite)).toEqual([true, false, true]);
    expect(three.losses.map(Number.isFinite)).toEqual([true, false, true]);
    expectSameBytes(bytesOf(two, ADAPTER), bytesOf(one, ADAPTER));
    const source = await openSafetensors(memoryReader(three.files), ADAPTER);
    for (const name of source.names()) expect((await readFloats(source, name)).every(Number.isFinite), name).toBe(true);
    expect(Buffer.compare(bytesOf(three, ADAPTER), bytesOf(two, ADAPTER))).not.toBe(0);
    // JSON has no NaN
    const state = JSON.parse(Buffer.from(bytesOf(three, 'trainer_state.json')).toString()) as {
      log_history: { loss?: number | null; grad_norm?: number | null }[];
    };
    expect(state.log_history[1]).toMatchObject({ loss: null, grad_norm: null });
  });
});
