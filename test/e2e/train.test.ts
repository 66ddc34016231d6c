/** `nibble train` on model directories that transformers' save_pretrained wrote. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/files.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { nodeReader, nodeWriter } from '../../src/node/files.ts';
import { runSchema } from '../../src/results/run-schema.ts';
import { random } from '../ref/compare.ts';
import { learnableRows } from '../train/run.ts';
import { contentOf, directory, GOLDEN, nibbleTrain, trainerState } from './nibble.ts';

const data = directory({
  'rows.jsonl': learnableRows(1, 40, 16, 32),
  'eval.jsonl': learnableRows(2, 8, 16, 32),
});

const STEPS = 20;
const settings = (model: string, output: string) => [
  '--model_name_or_path',
  model,
  '--output_dir',
  output,
  '--max_steps',
  String(STEPS),
  '--datasets',
  path.join(data, 'rows.jsonl'),
  '--eval_datasets',
  path.join(data, 'eval.jsonl'),
  '--eval_on_start',
  'true',
  '--learning_rate',
  '2e-2',
  '--per_device_train_batch_size',
  '4',
  '--lora_r',
  '4',
  '--lora_target_modules',
  'all-linear',
];
const QLORA = ['--method', 'qlora', '--bnb_4bit_use_double_quant', 'true'];

const files = (output: string) => Object.keys(contentOf(output)).filter((file) => !file.startsWith('checkpoint-'));
const WRITTEN = [
  'README.md',
  'adapter_config.json',
  'adapter_model.safetensors',
  'config.yaml',
  'environment.json',
  'log.jsonl',
  'run.html',
  'run.json',
  'trainer_state.json',
];

// Tied and untied, one file and shards, f32, f16 and bf16, with grouped queries (4 on 2, 4 on 1) and without. The last
// number is the least drop of the loss: the frozen heads of formats/, drawn with std 0.02, leave little to learn.
const MODELS: [string, string[], number][] = [
  ['llama/untied-gqa-f32', [], 0.3], // three shards
  ['llama/untied-gqa-f32', QLORA, 0.3],
  ['llama/tied-mha-bf16', [], 0.3],
  ['llama/tied-mha-bf16', QLORA, 0.3],
  ['llama/llama3-rope-f16', [], 0.3], // untied, one kv head
  ['llama/llama3-rope-f16', QLORA, 0.3],
  ['formats/llama-sharded-bf16', [], 0.1], // untied, grouped, llama3 rope, two shards
  ['formats/llama-tied-f16', [], 0.03], // four kv heads
  ['formats/llama-untied-f32', QLORA, 0.1],
  ['formats/llama-tied-f16', ['--method', 'full'], 0.3],
];

describe.each(MODELS)('%s %j', (name, flags, drop) => {
  test(`${STEPS} steps with falling loss`, async () => {
    const output = path.join(directory(), 'run');
    const { code, stdout, stderr } = await nibbleTrain(...settings(path.join(GOLDEN, name), output), ...flags);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(stdout).toMatch(new RegExp(`^${output}: eval_loss [\\d.]+, ${STEPS} steps, peak GPU memory`));
    expect(stderr).toMatch(/trainable params: [\d,]+ \|\| all params: [\d,]+ \|\| trainable%: [\d.]+/);
    const { global_step, log_history } = trainerState(output);
    expect(global_step).toBe(STEPS);
    const losses = log_history.flatMap((row) => ('loss' in row ? [row.loss as number] : []));
    expect(losses.length).toBe(STEPS);
    const mean = (part: readonly number[]) => part.reduce((sum, l) => sum + l, 0) / part.length;
    expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)) - drop);
    const [before, after] = log_history.flatMap((row) => ('eval_loss' in row ? [row.eval_loss as number] : []));
    expect(after).toBeLessThan((before as number) - drop);
    if (!flags.includes('full')) expect(files(output)).toEqual(WRITTEN);
    else expect(files(output)).toContain('model.safetensors');
  });
});

test('rows of text, through the tokenizer of the model directory', async () => {
  const from = path.join(GOLDEN, 'formats', 'llama-untied-f32');
  const config = { ...JSON.parse(readFileSync(path.join(from, 'config.json'), 'utf8')), vocab_size: 300 };
  const tokenizer = path.join(GOLDEN, 'formats', 'tokenizer', 'tokenizer.json');
  const model = directory({ 'config.json': JSON.stringify(config), 'tokenizer.json': readFileSync(tokenizer) });
  const source = await openCheckpoint(nodeReader(from));
  const tensors = source.names().map((name, i) => {
    // the embedding and the head grow to the tokenizer's 300 entries
    const shape = source.info(name).shape.map((n) => (n === 32 ? 300 : n));
    const values = random(i).normal32(
      shape.reduce((p, n) => p * n, 1),
      0.1,
    );
    return { name, dtype: 'F32' as const, shape, data: () => [new Uint8Array(values.buffer)] };
  });
  await writeSafetensors(nodeWriter(model), 'model.safetensors', tensors);
  const lines = Array.from({ length: 40 }, (_, i) =>
    JSON.stringify({ text: `Call me Ishmael. Some ${i % 3} years ago` }),
  );
  const root = directory({ 'text.jsonl': lines.join('\n') });
  const output = path.join(root, 'run');
  const argv = settings(model, output).map((a) => (a.endsWith('rows.jsonl') ? path.join(root, 'text.jsonl') : a));
  const { code, stderr } = await nibbleTrain(...argv, '--method', 'full');
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  const losses = trainerState(output).log_history.flatMap((row) => ('loss' in row ? [row.loss as number] : []));
  // this tokenizer has no tokenizer_config.json to name one
  expect(stderr).toContain('train: 40 rows of text without an EOS at the end: the tokenizer names none for append_eos');
  // at first about as good as guessing among 300 tokens
  expect(Math.abs((losses[0] as number) - Math.log(300))).toBeLessThan(0.5);
  expect(losses.at(-1)).toBeLessThan((losses[0] as number) - 1);
  expect(files(output)).toContain('tokenizer.json');
});

test('--profile: a trace, the time of each kernel and the peak of the device, each saying what it is', async () => {
  const output = path.join(directory(), 'run');
  const file = path.join(directory(), 'trace.json');
  const argv = settings(path.join(GOLDEN, 'llama/untied-gqa-f32'), output).map((word) => (word === '20' ? '2' : word));
  const { code, stderr } = await nibbleTrain(...argv, '--profile', file);
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  const { train_info } = runSchema.parse(JSON.parse(readFileSync(path.join(output, 'run.json'), 'utf8')));
  const { traceEvents, otherData } = JSON.parse(readFileSync(file, 'utf8')) as {
    traceEvents: readonly object[];
    otherData: { readonly source: string };
  };
  const { kernel_times: kernels, compute, timing } = train_info;
  expect(kernels?.source).toBe(otherData.source);
  expect(otherData.source).toMatch(/^timestamp queries of /);
  expect(kernels?.times.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(traceEvents.length);
  expect(kernels?.times.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
  expect(compute?.share_of_peak).toBeCloseTo((compute?.tflops ?? 0) / (compute?.peak?.tflops ?? 0), 12);
  expect(compute?.peak?.probe).toMatch(/^\d+ x \d+ x \d+ product, weights in f32, tier /);
  expect(timing.measure_s).toBeGreaterThan(0);
});

describe('what a run leaves behind', () => {
  const model = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
  const first = path.join(directory(), 'first');

  test('its adapter reloads, and another run goes on where it ended', async () => {
    expect((await nibbleTrain(...settings(model, first), '--seed', '3')).code).toBe(0);
    const base = adapterBase(await readModelConfig(nodeReader(model)));
    const adapter = await openAdapter(nodeReader(first), base);
    expect([adapter.layout.targets.length, adapter.config.r, adapter.config.lora_alpha]).toEqual([14, 4, 8]);

    const second = path.join(directory(), 'second');
    const more = await nibbleTrain(...settings(model, second), '--adapter_name_or_path', first);
    expect([more.code, more.code === 0 ? '' : more.stderr]).toEqual([0, '']);
    const evaluations = (output: string) =>
      trainerState(output).log_history.flatMap((row) => ('eval_loss' in row ? [row.eval_loss as number] : []));
    const [ended, [started, finished]] = [evaluations(first).at(-1), evaluations(second)];
    expect(started).toBe(ended);
    expect(finished).toBeLessThan(started as number);
  });

  test('its config.yaml repeats it: the same adapter to the byte', async () => {
    const again = path.join(directory(), 'again');
    const { code } = await nibbleTrain(path.join(first, 'config.yaml'), '--output_dir', again);
    expect(code).toBe(0);
    const adapter = (output: string) => readFileSync(path.join(output, 'adapter_model.safetensors'));
    expect(Buffer.compare(adapter(again), adapter(first))).toBe(0);
  });
});
