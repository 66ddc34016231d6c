/** Identities: QLoRA equals LoRA on the dequantized base, a run its repetition, one way to split a batch another. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { materialize } from '../../src/model/weight.ts';
import { openModel } from '../model/open.ts';
import { expectSameBytes } from '../wasm/helpers.ts';
import { GOLDEN } from './open.ts';
import { ADAPTER, bytesOf, copyModel, type Files, learnableRows, type Run, runTraining } from './run.ts';

const BASE = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
const rows: Files = new Map([
  ['rows.jsonl', learnableRows(1, 16, 20, 160)],
  ['eval.jsonl', learnableRows(2, 6, 20, 160)],
]);
const evaluation = { eval_datasets: [{ path: 'eval.jsonl' }], eval_on_start: true };
const onBase = { model_name_or_path: BASE };
const QLORA = { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true } as const;

async function adapterOf(run: Run): Promise<Map<string, Float32Array>> {
  const source = await openSafetensors(memoryReader(run.files), ADAPTER);
  const tensors = await Promise.all(
    source.names().map(async (name) => [name, await readFloats(source, name)] as const),
  );
  return new Map(tensors);
}

test('QLoRA equals LoRA on the base that our own kernel dequantized: losses, norms and adapter to the bit', async () => {
  const open = await openModel(BASE, { config: QLORA, shape: { B: 1, S: 8 } });
  const dequantized = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, weight] of open.declared.weights) {
    if (weight.kind !== '4bit') continue;
    const tape = open.tape();
    const scratch = materialize(tape, weight, { row0: 0, rows: weight.out }, 'f32');
    const shape = [weight.out, weight.in];
    const kept = open.machine.residents.tensor({ label: 'kept', shape, dtype: 'f32', category: 'workspace' });
    tape.copy(scratch, kept);
    await open.submit(tape.commands);
    dequantized.set(name, await open.read(kept));
  }
  open.destroy();
  expect(dequantized.size).toBe(14);
  let changed = 0;
  const dense = await copyModel(BASE, (name, values) => {
    const own = dequantized.get(name);
    if (own?.some((v, i) => v !== values[i])) changed++;
    return own ?? values;
  });
  expect(changed).toBe(14);

  const common = { max_steps: 5, ...evaluation };
  const qlora = await runTraining({ '.': rows }, { ...onBase, ...QLORA, ...common });
  const lora = await runTraining({ '.': rows, dense }, { model_name_or_path: 'dense', ...common });
  expect(qlora.losses).toEqual(lora.losses);
  expect(qlora.steps.map((s) => s.gradNorm)).toEqual(lora.steps.map((s) => s.gradNorm));
  expect(qlora.result.evalAfter?.evalLoss).toBe(lora.result.evalAfter?.evalLoss);
  expectSameBytes(bytesOf(qlora, ADAPTER), bytesOf(lora, ADAPTER));
  // their base differs from the unquantized one
  const plain = await runTraining({ '.': rows }, { ...onBase, ...common, max_steps: 1 });
  expect(plain.losses[0]).not.toBe(lora.losses[0]);
});

describe('seeds', () => {
  const dropout = { ...onBase, lora_dropout: 0.3, train_sampling_strategy: 'random', max_steps: 4 } as const;

  test.each([
    ['lora with dropout', dropout],
    ['qlora', { ...onBase, ...QLORA, max_steps: 4 }],
  ])('%s: the same seed twice gives a byte-identical adapter, another seed another', async (_, config) => {
    const [first, again, other] = [
      await runTraining({ '.': rows }, { ...config, seed: 7 }),
      await runTraining({ '.': rows }, { ...config, seed: 7 }),
      await runTraining({ '.': rows }, { ...config, seed: 8 }),
    ];
    expect(again.losses).toEqual(first.losses);
    expectSameBytes(bytesOf(again, ADAPTER), bytesOf(first, ADAPTER));
    expect(Buffer.compare(bytesOf(other, ADAPTER), bytesOf(first, ADAPTER))).not.toBe(0);
  });
});

describe('dropout', () => {
  test('trains, changes the run, and is off in evaluation', async () => {
    const constant = { lr_scheduler_type: 'constant', learning_rate: 2e-2 } as const;
    const config = { ...onBase, ...evaluation, ...constant, lora_dropout: 0.4, max_steps: 10 };
    const run = await runTraining({ '.': rows }, config);
    const without = await runTraining({ '.': rows }, { ...config, lora_dropout: 0, max_steps: 4 });
    // the first step starts at B = 0, where dropout changes no loss; later losses differ
    expect(run.losses[0]).toBe(without.losses[0]);
    expect(run.losses[3]).not.toBe(without.losses[3]);
    expect(run.result.evalAfter?.evalLoss).toBeLessThan((run.result.evalBefore?.evalLoss as number) - 0.2);
    // the same adapter without dropout evaluates to the same bits
    const adapter: Files = new Map(run.files);
    const json = JSON.parse(Buffer.from(bytesOf(run, 'adapter_config.json')).toString()) as object;
    expect(json).toMatchObject({ lora_dropout: 0.4 });
    adapter.set('adapter_config.json', JSON.stringify({ ...json, lora_dropout: 0 }));
    const reloaded = await runTraining(
      { '.': rows, adapter },
      { ...config, adapter_name_or_path: 'adapter', max_steps: 1, learning_rate: 0 },
    );
    expect(reloaded.result.evalBefore?.evalLoss).toBe(run.result.evalAfter?.evalLoss);
  });
});

test('masks of dropout differ by step and by micro-step', async () => {
  const row = (rows.get('rows.jsonl') as string).split('\n')[0] as string;
  const same: Files = new Map([['rows.jsonl', `${row}\n${row}\n`]]);
  const still = { ...onBase, lora_dropout: 0.5, per_device_train_batch_size: 1, learning_rate: 0, max_steps: 2 };
  const single = await runTraining({ '.': same }, still);
  const twice = await runTraining({ '.': same }, { ...still, gradient_accumulation_steps: 2 });
  const none = await runTraining({ '.': same }, { ...still, gradient_accumulation_steps: 2, lora_dropout: 0 });
  const norms = [single.steps[0], single.steps[1], twice.steps[0], twice.steps[1]].map((s) => s?.gradNorm);
  // the same row each time, a learning rate of 0: only the masks can tell the steps apart
  expect(new Set(norms).size).toBe(4);
  expect(none.steps[0]?.gradNorm).toBe(none.steps[1]?.gradNorm);
});

test('a fresh LoRA equals the base', async () => {
  const still = { ...onBase, ...evaluation, max_steps: 1, learning_rate: 0 };
  const lora = await runTraining({ '.': rows }, { ...still, lora_dropout: 0.5 });
  const base = await runTraining({ '.': rows }, { ...still, method: 'full' });
  expect(lora.losses[0]).toBe(base.losses[0]);
  expect(lora.result.evalBefore?.evalLoss).toBe(base.result.evalBefore?.evalLoss);
});

test('checkpointed = not checkpointed, bit for bit, in less memory', async () => {
  const settings = { ...onBase, lora_dropout: 0.2, max_steps: 4, gradient_accumulation_steps: 2 };
  const kept = await runTraining({ '.': rows }, settings);
  const activations = ({ result }: typeof kept) => result.ledger.peak.byCategory.activations;
  for (const [gradient_checkpointing, most] of [
    [true, 0.8],
    ['selective', 0.95],
  ] as const) {
    const again = await runTraining({ '.': rows }, { ...settings, gradient_checkpointing });
    expect(again.losses).toEqual(kept.losses);
    expect(again.steps.map((s) => s.gradNorm)).toEqual(kept.steps.map((s) => s.gradNorm));
    expect(await adapterOf(again)).toEqual(await adapterOf(kept));
    expect(activations(again)).toBeLessThan(most * activations(kept));
  }
});

test('accumulation: 8x1 = 4x2 = 2x4 within 1e-6', async () => {
  // rows of one length with labels of uneven count: a mean of means would differ
  const text = learnableRows(3, 40, 20, 160).trim().split('\n');
  const uneven = text.map((line, i) => {
    const { input_ids } = JSON.parse(line) as { input_ids: number[] };
    return JSON.stringify({ input_ids, labels: input_ids.map((id, t) => (t < (i * 5) % 17 ? -100 : id)) });
  });
  const data: Files = new Map([['rows.jsonl', uneven.join('\n')]]);
  const split = (size: number, steps: number) =>
    runTraining(
      { '.': data },
      {
        ...onBase,
        per_device_train_batch_size: size,
        gradient_accumulation_steps: steps,
        max_steps: 5,
        weight_decay: 0.1,
      },
    );
  const [whole, half, quarter] = [await split(8, 1), await split(4, 2), await split(2, 4)];
  const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b);
  const worst = { loss: 0, norm: 0, adapter: 0 };
  const want = await adapterOf(whole);
  for (const run of [half, quarter]) {
    expect(run.steps.length).toBe(5);
    run.steps.forEach((step, i) => {
      worst.loss = Math.max(worst.loss, relative(step.loss, whole.losses[i] as number));
      worst.norm = Math.max(worst.norm, relative(step.gradNorm, whole.steps[i]?.gradNorm as number));
    });
    for (const [name, values] of await adapterOf(run)) {
      values.forEach((v, i) => {
        worst.adapter = Math.max(worst.adapter, Math.abs(v - (want.get(name)?.[i] as number)));
      });
    }
  }
  console.log(`accumulation: ${JSON.stringify(worst)}`);
  expect(worst.loss).toBeLessThanOrEqual(1e-6);
  expect(worst.norm).toBeLessThanOrEqual(1e-6);
  expect(worst.adapter).toBeLessThanOrEqual(1e-6);
});
