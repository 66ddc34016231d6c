/** Every option of PEFT's LoraConfig: files read and written, logits, counts, and 20 steps of training. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ADAPTER_FILE } from '../../src/adapters/files.ts';
import type { TrainConfig } from '../../src/config/settings.ts';
import { memoryWriter } from '../../src/formats/memory.ts';
import { countParameters } from '../../src/train/model-layout.ts';
import { saveTrainedAdapter } from '../../src/train/save.ts';
import { BOUNDS } from '../fidelity/compare.ts';
import { type Figure, recordFigures } from '../fidelity/figures.ts';
import { OpenModel } from '../model/open.ts';
import { GOLDEN, openEngine } from './open.ts';

const DIRECTORY = path.join(GOLDEN, 'peft-options');
type Micro = { input_ids: number[][]; labels: number[][] };
type Step = { loss: number; grad_norm: number; num_items: number };
type Option = {
  base: string;
  trainable: number;
  all: number;
  options: { lora_dropout?: number };
  steps?: Step[];
};
const golden = JSON.parse(readFileSync(path.join(DIRECTORY, 'options.json'), 'utf8')) as {
  settings: Pick<TrainConfig, 'learning_rate' | 'weight_decay' | 'max_grad_norm'>;
  batches: Micro[];
  options: Record<string, Option>;
};

// correct f32 code differs by some 1e-6 of max |logit|; a norm of DoRA with a wrong scaling by 1e-2
const LOGITS_TOLERANCE = 1e-5;
// docs/fidelity.md shows the errors that are reached
const { loss: LOSS_RTOL, gradNorm: GRAD_NORM_RTOL } = BOUNDS;

const figures: Figure[] = [];
afterAll(() => recordFigures('adapter-options', { row: 3, title: TITLE, count: 2 * TRAINED, figures }));
const TITLE = 'Adapter options: 20 training steps against PEFT';
const TRAINED = 17;

const shape = { B: 2, S: 16 };
const firstIds = Uint32Array.from(golden.batches[0]?.input_ids.flat() ?? []);

async function openOption(name: string, { base, options }: Option) {
  const { lora_dropout = 0 } = options;
  const overrides = { ...golden.settings, lora_dropout, adapter_name_or_path: path.join(DIRECTORY, name) };
  const method = base.includes('qlora') ? ({ method: 'qlora', load_in_4bit: true } as const) : {};
  const directory = path.join(DIRECTORY, base);
  return openEngine(directory, { ...overrides, ...method }, { train: [shape], evaluation: [] });
}

type Opened = Awaited<ReturnType<typeof openOption>>;

function floats(file: string): Float32Array {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

async function replay({ engine, config }: Opened, steps: readonly Step[]) {
  const reached = { loss: 0, norm: 0 };
  for (const [i, want] of steps.entries()) {
    const { input_ids, labels } = golden.batches[i] as Micro;
    const batch = {
      ...shape,
      inputIds: Uint32Array.from(input_ids.flat()),
      labels: Int32Array.from(labels.flatMap((row) => [...row.slice(1), -100])),
    };
    const got = await engine.trainStep([batch], {
      lr: (config.learning_rate * (steps.length - i)) / steps.length,
      bias1: 1 - config.adam_beta1 ** (i + 1),
      sqrt_bias2: Math.sqrt(1 - config.adam_beta2 ** (i + 1)),
      inv_tokens: 1 / want.num_items,
      loss_scale: 1,
      step: i,
      seed: 0,
    });
    const [loss, norm] = [got.loss / want.loss - 1, got.gradNorm / want.grad_norm - 1].map(Math.abs);
    expect(loss, `loss of step ${i}`).toBeLessThanOrEqual(LOSS_RTOL);
    expect(norm, `norm of step ${i}`).toBeLessThanOrEqual(GRAD_NORM_RTOL);
    reached.loss = Math.max(reached.loss, loss as number);
    reached.norm = Math.max(reached.norm, norm as number);
  }
  return reached;
}

test('the golden file has the options it was made for', () => {
  expect(Object.keys(golden.options).length).toBe(23);
  expect(Object.values(golden.options).filter(({ steps }) => steps?.length === 20).length).toBe(TRAINED);
});

describe.each(Object.entries(golden.options))('%s', (name, option) => {
  test('files, counts, logits, training', async () => {
    const opened = await openOption(name, option);
    expect(countParameters(opened.layout)).toEqual({ trainable: option.trainable, all: option.all });
    const allocated = [...opened.declared.trainable.tensors.values()].reduce((sum, t) => sum + t.param.elements, 0);
    expect(allocated).toBe(option.trainable);

    for await (const _ of opened.engine.warmUp()); // runs every plan, and has to leave the adapter as it is
    const files = new Map<string, Uint8Array>();
    await saveTrainedAdapter(opened.engine, opened.layout, opened.source, memoryWriter(files));
    const theirs = (file: string) => readFileSync(path.join(DIRECTORY, name, file));
    expect(Buffer.compare(files.get(ADAPTER_FILE) as Uint8Array, theirs(ADAPTER_FILE))).toBe(0);
    const { target_modules, ...config } = JSON.parse(theirs('adapter_config.json').toString());
    expect(JSON.parse(new TextDecoder().decode(files.get('adapter_config.json')))).toMatchObject(config);
    expect(typeof target_modules === 'string').toBe(name === 'regex');

    const want = floats(path.join(DIRECTORY, name, 'logits.bin'));
    const got = await new OpenModel(opened.engine, { shape }).logits(firstIds);
    expect(got.length).toBe(want.length);
    const largest = want.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const worst = want.reduce((max, v, i) => Math.max(max, Math.abs((got[i] as number) - v)), 0) / largest;
    expect(worst).toBeLessThanOrEqual(LOGITS_TOLERANCE);

    const reached = option.steps && (await replay(opened, option.steps));
    if (reached) {
      const unit = 'relative, worst step';
      figures.push({ what: `${name}: loss`, reached: reached.loss, bound: LOSS_RTOL, unit });
      figures.push({ what: `${name}: gradient norm`, reached: reached.norm, bound: GRAD_NORM_RTOL, unit });
    }
    const trained = reached && `, loss ${reached.loss.toExponential(1)}, norm ${reached.norm.toExponential(1)}`;
    console.log(`${name}: logits within ${worst.toExponential(1)} of max |logit|${trained ?? ''}`);
    opened.engine.destroy();
  });
});
