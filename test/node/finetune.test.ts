/** finetune() is the same run as `nibble train`, takes rows from memory, and has closed its device when it returns. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test, vi } from 'vitest';
import { ConfigError, DataError } from '../../src/errors.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { type FinetuneEvent, type FinetuneOptions, finetune } from '../../src/node/finetune.ts';
import type { NodeRuntime } from '../../src/node/runtime.ts';
import { runSchema } from '../../src/results/run-schema.ts';
import { contentOf, directory, nibbleTrain, trainerState } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';
import { writeShallow } from '../models/shallow.ts';

const opened = vi.hoisted(() => [] as NodeRuntime[]);
vi.mock('../../src/node/runtime.ts', async (load) => {
  const actual = await load<typeof import('../../src/node/runtime.ts')>();
  const openNodeRuntime = async (choice: DeviceChoice): Promise<NodeRuntime> => {
    const runtime = await actual.openNodeRuntime(choice);
    opened.push(runtime);
    return runtime;
  };
  return { ...actual, openNodeRuntime };
});

afterEach(async () => {
  const open = new Promise((resolve) => setImmediate(resolve, 'open'));
  const states = opened.splice(0).map(({ device }) => Promise.race([device.gpu.lost.then(() => 'closed'), open]));
  for (const state of await Promise.all(states)) expect(state, 'a device after the run').toBe('closed');
});

const TINY = await writeShallow(path.join(directory(), 'tiny'), 2);
const device = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;

const texts = Array.from({ length: 6 }, (_, i) => ({ text: `Call me Ishmael. Some ${i} years ago, never mind.` }));
const ids = Array.from({ length: 4 }, (_, i) => ({
  input_ids: [5, 6, 7 + i, 8, 9],
  labels: [-100, -100, 7 + i, 8, 9],
}));
const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

const settings = {
  model_name_or_path: TINY,
  method: 'qlora',
  max_steps: 3,
  max_length: 32,
  per_device_train_batch_size: 2,
  learning_rate: 1e-2,
  lora_r: 4,
  lora_target_modules: 'all-linear',
  eval_on_start: true,
} as const;

/** Options of a call with rows in memory. */
function options(more: Partial<FinetuneOptions> = {}): FinetuneOptions {
  const typed = ids.map((row) => ({ input_ids: Uint32Array.from(row.input_ids), labels: Int32Array.from(row.labels) }));
  const datasets = [{ rows: texts }, { rows: typed }];
  return { ...settings, datasets, eval_datasets: [{ rows: texts.slice(0, 2) }], device, output_dir: null, ...more };
}

const losses = ({ steps }: { steps: readonly { loss: number }[] }) => steps.map(({ loss }) => loss);

test('rows in memory train as the same rows in files do, to the bit, and their folder repeats the run', async () => {
  const files = directory({
    'a.jsonl': jsonl(texts),
    'b.jsonl': jsonl(ids),
    'eval.jsonl': jsonl(texts.slice(0, 2)),
    'run.yaml': JSON.stringify({
      ...settings,
      datasets: [{ path: 'a.jsonl' }, { path: 'b.jsonl' }],
      eval_datasets: [],
    }),
  });
  const at = (name: string) => path.join(files, name);
  const datasets = JSON.stringify([{ path: at('a.jsonl') }, { path: at('b.jsonl') }]);
  const flags = ['--datasets', datasets, '--eval_datasets', at('eval.jsonl'), '--output_dir', at('cli')];
  const { code, stderr } = await nibbleTrain(at('run.yaml'), ...flags);
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  const logged = trainerState(at('cli')).log_history.flatMap((row) => ('loss' in row ? [row.loss] : []));

  const result = await finetune(options({ output_dir: at('library') }));
  expect(losses(result)).toEqual(logged);
  expect(new Set(logged).size).toBe(3);
  expect(result.evaluations.map(({ step }) => step)).toEqual([0, 3]);
  expect(result.paths).toEqual({
    outputDir: at('library'),
    adapterFile: at('library/adapter_model.safetensors'),
    recordFile: at('library/run.json'),
    bestCheckpoint: null,
  });
  const [cli, library] = [contentOf(at('cli')), contentOf(at('library'))];
  const rows = ['rows/datasets-0.jsonl', 'rows/datasets-1.jsonl', 'rows/eval_datasets-0.jsonl'];
  expect(Object.keys(library)).toEqual([...Object.keys(cli), ...rows].sort());
  expect(library['adapter_model.safetensors']).toBe(cli['adapter_model.safetensors']);

  const records = ['cli', 'library'].map((name) =>
    runSchema.parse(JSON.parse(readFileSync(at(`${name}/run.json`), 'utf8'))),
  );
  const [ofCli, ofLibrary] = records.map(({ run_info, eval_info, numerics, train_info }) => ({
    run_id: run_info.run_id,
    hashes: eval_info.data_hashes,
    weights: numerics.weight_sha256_after,
    peak: train_info.memory?.by_category,
    losses: train_info.history.map(({ loss }) => loss),
  }));
  expect(ofLibrary).toEqual(ofCli);
  expect(ofLibrary?.losses).toEqual(logged);
  expect(records[1]).toEqual(JSON.parse(JSON.stringify(result.record)));
  expect(records.map(({ run_info }) => [run_info.suite, run_info.arm])).toEqual([
    ['train', 'qlora'],
    ['train', 'qlora'],
  ]);
  const { peakBytes, byCategory, timing } = result;
  expect(Object.values(byCategory).reduce((sum, bytes) => sum + bytes, 0)).toBe(peakBytes);
  expect(records[1]?.train_info.memory).toMatchObject({ allocated: { peak: peakBytes }, by_category: byCategory });
  expect(records[1]?.train_info.timing).toMatchObject(timing);
  for (const { train_info, run_info } of records) {
    const { quantize_busy_s, compile_overlapped_s, ...disjoint } = train_info.timing;
    const seconds = Object.values(disjoint).map((part) => part ?? Number.NaN);
    expect(Object.keys(disjoint)).toHaveLength(11);
    expect(seconds.reduce((sum, part) => sum + part, 0)).toBeCloseTo(run_info.total_time ?? 0, 9);
    for (const name of ['startup_s', 'hash_s', 'train_s', 'other_s'] as const)
      expect(disjoint[name], name).toBeGreaterThan(0);
    const tokens = train_info.history.map((row) => row.tokens_per_micro_step);
    expect(train_info.throughput.tokens_per_micro_step).toBeCloseTo(((tokens[1] ?? 0) + (tokens[2] ?? 0)) / 2, 9);
  }

  const again = await nibbleTrain(at('library/config.yaml'), '--output_dir', at('again'));
  expect([again.code, again.code === 0 ? '' : again.stderr]).toEqual([0, '']);
  expect(contentOf(at('again'))['adapter_model.safetensors']).toBe(cli['adapter_model.safetensors']);
});

test('nothing is kept where output_dir is null; events come in order', async () => {
  const events: FinetuneEvent[] = [];
  const before = new Set(['trainer_output', 'rows', 'run.json'].filter((name) => existsSync(name)));
  const result = await finetune(options({ onEvent: (event) => events.push(event) }));
  expect(['trainer_output', 'rows', 'run.json'].filter((name) => existsSync(name) && !before.has(name))).toEqual([]);
  expect(result.paths).toBeNull();
  expect(result.record.numerics.weight_sha256_after).toBeNull();
  const types = events.map(({ type }) => type).filter((type) => type !== 'note' && type !== 'progress');
  expect(types.slice(0, 4)).toEqual(['device', 'data', 'plan', 'phase']);
  const plan = events.find((event) => event.type === 'plan');
  expect(plan).toMatchObject({ peakBytes: result.peakBytes, byCategory: result.byCategory });
  expect(events.find((event) => event.type === 'data')).toMatchObject({ trainRows: 10, evalRows: 2, totalSteps: 3 });
  expect(events.filter((event) => event.type === 'step')).toEqual(result.steps);
});

test('an abort ends it at the next step, and the next call begins anew', async () => {
  const reason = new Error('enough');
  const controller = new AbortController();
  const done: number[] = [];
  const onEvent = (event: FinetuneEvent): void => {
    if (event.type !== 'step') return;
    done.push(event.step);
    if (event.step === 1) controller.abort(reason);
  };
  const output = path.join(directory(), 'out');
  const { signal } = controller;
  const running = finetune(options({ max_steps: 50, signal, onEvent, output_dir: output }));
  await expect(running).rejects.toBe(reason);
  expect(done.length).toBeLessThan(4);
  expect(JSON.parse(readFileSync(path.join(output, 'interrupted.json'), 'utf8'))).toMatchObject({ reason: 'enough' });
  expect(losses(await finetune(options())).length).toBe(3);
});

test('what onEvent throws ends it', async () => {
  const thrown = new Error('mine');
  const onEvent = (event: FinetuneEvent): void => {
    if (event.type === 'step') throw thrown;
  };
  await expect(finetune(options({ onEvent }))).rejects.toBe(thrown);
});

test('all that is wrong in the options is said at once, by path', async () => {
  const wrong = {
    device: 'cuda',
    max_steps: '3',
    lora_r: 0,
    learning_rat: 1e-3,
    datasets: [{ rows: 'text' }, { path: 'a.jsonl', rows: texts }],
  };
  const error = (await rejection(finetune({ ...options(), ...wrong } as unknown as FinetuneOptions))) as ConfigError;
  expect(error).toBeInstanceOf(ConfigError);
  expect(error.problems.map(({ path: at, message }) => `${at}: ${message}`)).toEqual([
    expect.stringMatching(/^device: got "cuda", wanted one of auto, gpu/),
    expect.stringMatching(/^datasets\[0\]\.rows: got "text", wanted a list of rows/),
    expect.stringMatching(/^datasets\[1\]\.rows: says the same as path/),
    expect.stringMatching(/^max_steps: got "3", wanted -1, or an integer of at least 1 \(options\)$/),
    expect.stringMatching(/^lora_r: got 0, wanted an integer of at least 1 \(options\)$/),
    expect.stringMatching(/^learning_rat: unknown key, did you mean learning_rate\? \(options\)$/),
  ]);
});

test('a row that is none is named by its place in the options', async () => {
  const rows = [texts[0], { messages: [] }] as never;
  const error = await rejection(finetune(options({ datasets: [{ rows }] })));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(
    /^datasets\[0\]\.rows:2: is a conversation, and the model directory has no chat template/,
  );
  await expect(finetune(options({ datasets: [{ rows: [] }] }))).rejects.toThrow(/^datasets\[0\]\.rows: is empty; give/);
});

test('a program ends by itself after two calls', async () => {
  const index = pathToFileURL(new URL('../../dist/index.js', import.meta.url).pathname).href;
  const given = { ...options(), datasets: [{ rows: texts }], max_steps: 1 };
  const program = `import { finetune } from ${JSON.stringify(index)};
    const options = ${JSON.stringify(given)};
    const first = await finetune(options);
    const second = await finetune(options);
    console.log(first.steps[0].loss === second.steps[0].loss);`;
  const argv = ['--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { timeout: 100_000 });
  expect(stdout).toBe('true\n');
});
