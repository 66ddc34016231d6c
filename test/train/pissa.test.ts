/** PiSSA by PEFT's fast SVD: the update that a run starts from, what is left of the weights, 20 steps, and the plain adapter it is saved as. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { ADAPTER_FILE, openAdapter } from '../../src/adapters/files.ts';
import type { TrainConfig } from '../../src/config/settings.ts';
import { openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { nodeReader } from '../../src/node/files.ts';
import { saveTrainedAdapter } from '../../src/train/save.ts';
import { BOUNDS } from '../fidelity/compare.ts';
import { rejection } from '../formats/files.ts';
import { OpenModel } from '../model/open.ts';
import { GOLDEN, openEngine } from './open.ts';

const DIRECTORY = path.join(GOLDEN, 'pissa');
const BIASED = path.join(GOLDEN, 'peft-options/biased');
type Step = { loss: number; grad_norm: number; num_items: number };
type Option = {
  seed: number;
  dtype: TrainConfig['dtype'];
  options: { target_modules: string[]; use_rslora?: boolean; rank_pattern?: Record<string, number> };
  steps?: Step[];
};
const golden = JSON.parse(readFileSync(path.join(DIRECTORY, 'pissa.json'), 'utf8')) as {
  settings: Pick<TrainConfig, 'learning_rate' | 'weight_decay' | 'max_grad_norm'>;
  niter: number;
  batches: { input_ids: number[][]; labels: number[][] }[];
  options: Record<string, Option>;
};
const shape = { B: 2, S: 16 };

function open({ seed, dtype, options: { target_modules, ...rest } }: Option, more: Partial<TrainConfig> = {}) {
  const init = { init_lora_weights: `pissa_niter_${golden.niter}`, seed, dtype } as const;
  const adapter = { lora_r: 4, lora_alpha: 8, lora_target_modules: target_modules, ...rest };
  return openEngine(BIASED, { ...golden.settings, ...init, ...adapter, ...more }, { train: [shape], evaluation: [] });
}
type Opened = Awaited<ReturnType<typeof open>>;

/** B A of (rows, r) and (r, columns). */
function product(A: Float32Array, B: Float32Array, r: number): number[] {
  const [columns, rows] = [A.length / r, B.length / r];
  return Array.from({ length: rows * columns }, (_, at) => {
    const [i, k] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let j = 0; j < r; j++) sum += (B[i * r + j] as number) * (A[j * columns + k] as number);
    return sum;
  });
}

const furthest = (got: ArrayLike<number>, want: ArrayLike<number>): number =>
  Array.from(want).reduce((most, value, i) => Math.max(most, Math.abs((got[i] as number) - value)), 0);
const largest = (values: ArrayLike<number>): number => furthest(values, new Float32Array(values.length));

async function replay({ engine, config }: Opened, steps: readonly Step[]) {
  const reached = { loss: 0, norm: 0 };
  for (const [i, want] of steps.entries()) {
    const { input_ids, labels } = golden.batches[i] as (typeof golden.batches)[number];
    const inputIds = Uint32Array.from(input_ids.flat());
    const batch = { ...shape, inputIds, labels: Int32Array.from(labels.flatMap((row) => [...row.slice(1), -100])) };
    const rates = { lr: (config.learning_rate * (steps.length - i)) / steps.length, bias1: 1 - 0.9 ** (i + 1) };
    const rest = { sqrt_bias2: Math.sqrt(1 - 0.999 ** (i + 1)), inv_tokens: 1 / want.num_items, loss_scale: 1 };
    const got = await engine.trainStep([batch], { ...rates, ...rest, step: i, seed: 0 });
    reached.loss = Math.max(reached.loss, Math.abs(got.loss / want.loss - 1));
    reached.norm = Math.max(reached.norm, Math.abs(got.gradNorm / want.grad_norm - 1));
  }
  return reached;
}

test('the golden file has what it was made for', () => {
  expect(Object.keys(golden.options)).toEqual(['wide-and-tall', 'rslora', 'bf16']);
  expect(Object.values(golden.options).filter(({ steps }) => steps?.length === 20).length).toBe(2);
});

// torch decomposes in float32 (eps 1.2e-7): products of its factors are within some of that of max |B A|
const PRODUCT_TOLERANCE = 3e-6;

/** Factors are rounded to bfloat16: where float32's error meets the middle between two, they differ by one of its steps, 2^-8. */
const BF16_TOLERANCE = 2 ** -8;

test.each(Object.entries(golden.options))('%s: B A, the rest of the weights, and 20 steps', async (name, option) => {
  const opened = await open(option);
  const { engine, layout, declared } = opened;
  const want = await openSafetensors(nodeReader(DIRECTORY), `${name}.safetensors`);
  const targets = layout.lora?.layout.targets ?? [];
  expect(3 * targets.length).toBe(want.names().length);
  let worst = 0;
  for (const { name: module, rank } of targets) {
    const pair = [`${module}.lora_A.weight`, `${module}.lora_B.weight`].map((key) => engine.startPairs?.get(key));
    const ours = product(pair[0] as Float32Array, pair[1] as Float32Array, rank);
    const theirs = product(await readFloats(want, `${module}.A`), await readFloats(want, `${module}.B`), rank);
    const weight = declared.weights.get(`${module}.weight`);
    const residual = await readFloats(want, `${module}.residual`);
    worst = Math.max(worst, furthest(ours, theirs) / largest(theirs));
    if (weight?.kind !== 'dense' || option.dtype !== 'float32') continue;
    const left = await engine.readTensor(weight.tensor);
    expect(furthest(left, residual) / largest(residual), module).toBeLessThan(PRODUCT_TOLERANCE);
  }
  expect(worst).toBeLessThan(option.dtype === 'float32' ? PRODUCT_TOLERANCE : BF16_TOLERANCE);
  const reached = option.steps && (await replay(opened, option.steps));
  if (reached) {
    expect(reached.loss).toBeLessThanOrEqual(BOUNDS.loss);
    expect(reached.norm).toBeLessThanOrEqual(BOUNDS.gradNorm);
  }
  console.log(`${name}: B A within ${worst.toExponential(1)}, ${JSON.stringify(reached)}`);
  engine.destroy();
});

test('it is saved as the plain adapter that PEFT converts it to, for the weights as they were', async () => {
  const option = golden.options['wide-and-tall'] as Option;
  const opened = await open(option);
  const { engine, layout, source } = opened;
  await replay(opened, option.steps ?? []);
  const files = new Map<string, Uint8Array>();
  await saveTrainedAdapter(engine, layout, source, memoryWriter(files));
  engine.destroy();
  const theirs = nodeReader(path.join(DIRECTORY, 'wide-and-tall'));
  const ours = await openAdapter(memoryReader(files), layout.base);
  const { r, lora_alpha, init_lora_weights } = (await openAdapter(theirs, layout.base)).config;
  expect(ours.config).toMatchObject({ r, lora_alpha, init_lora_weights });
  const stored = await openSafetensors(theirs, ADAPTER_FILE);
  expect(ours.source.names()).toEqual(stored.names());
  for (const key of stored.names()) {
    if (!key.includes('lora_A')) continue;
    const keyB = key.replace('lora_A', 'lora_B');
    const of = async (file: typeof stored) => product(await readFloats(file, key), await readFloats(file, keyB), r);
    const want = await of(stored);
    // what 20 steps added is a few hundredths of the start that both of its halves hold
    expect(furthest(await of(ours.source), want) / largest(want), key).toBeLessThan(2e-4);
  }
  // PEFT's file on the base as it was gives the logits of PEFT's trained model
  const plain = await openEngine(BIASED, { adapter_name_or_path: theirs.root }, { train: [shape], evaluation: [] });
  const file = new Uint8Array(readFileSync(path.join(DIRECTORY, 'wide-and-tall/logits.bin')));
  const want = new Float32Array(file.buffer, file.byteOffset, file.byteLength / 4);
  const ids = Uint32Array.from(golden.batches[0]?.input_ids.flat() ?? []);
  const got = await new OpenModel(plain.engine, { shape }).logits(ids);
  expect(furthest(got, want) / largest(want)).toBeLessThan(1e-5);
  plain.engine.destroy();
});

test.each<[string, Partial<TrainConfig>, string]>([
  ['a quantized base', { method: 'qlora', load_in_4bit: true }, 'is held in 4 bits: PEFT refuses that, too'],
  ['DoRA', { use_dora: true }, 'with use_dora is not supported'],
  ['an embedding', { lora_target_modules: ['embed_tokens'] }, 'model.embed_tokens is adapted'],
  ['a rank above the weight', { lora_r: 33 }, 'needs a rank of at most 16 for model.layers.0.self_attn.k_proj'],
])('%s is refused', async (_, settings, message) => {
  const error = await rejection(open(golden.options['wide-and-tall'] as Option, settings));
  expect(error.message).toContain('init_lora_weights: pissa_niter_4');
  expect(error.message).toContain(message);
});
