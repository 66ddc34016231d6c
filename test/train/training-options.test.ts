/** LoRA+ and NEFTune: 20 steps against PEFT and transformers, from the same adapter, on the same rows. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { BOUNDS } from '../fidelity/compare.ts';
import { GOLDEN, openEngine } from './open.ts';

type Step = { loss: number; grad_norm: number; num_items: number };
type Option = { value: number; seed?: number; steps: Step[] };
const read = (file: string) => JSON.parse(readFileSync(path.join(GOLDEN, file), 'utf8'));
const options = read('optimizers/options.json') as Record<string, Option>;
const { settings, batches, options: peft } = read('peft-options/options.json');

const shape = { B: 2, S: 16 };

async function losses(overrides: Partial<TrainConfig>, { steps, seed = 0 }: Option) {
  const directory = path.join(GOLDEN, 'peft-options');
  const config = { ...settings, adapter_name_or_path: path.join(directory, 'default'), ...overrides };
  const shapes = { train: [shape], evaluation: [] };
  const { engine } = await openEngine(path.join(directory, peft.default.base), config, shapes);
  const got = [];
  for (const [i, { num_items }] of steps.entries()) {
    const { input_ids, labels } = batches[i] as { input_ids: number[][]; labels: number[][] };
    const batch = {
      ...shape,
      inputIds: Uint32Array.from(input_ids.flat()),
      labels: Int32Array.from(labels.flatMap((row) => [...row.slice(1), -100])),
    };
    const rates = { lr: (settings.learning_rate * (steps.length - i)) / steps.length, bias1: 1 - 0.9 ** (i + 1) };
    const rest = { sqrt_bias2: Math.sqrt(1 - 0.999 ** (i + 1)), inv_tokens: 1 / num_items, loss_scale: 1 };
    got.push(await engine.trainStep([batch], { ...rates, ...rest, step: i, seed }));
  }
  engine.destroy();
  return got;
}

const furthest = (got: readonly number[], want: readonly number[]) =>
  Math.max(...want.map((w, i) => Math.abs((got[i] as number) / w - 1)));

test.each(['loraplus_lr_ratio', 'neftune_noise_alpha'] as const)('%s', async (name) => {
  const option = options[name] as Option;
  expect(option.steps.length).toBe(20);
  const got = await losses({ [name]: option.value }, option);
  const loss = furthest(
    got.map((s) => s.loss),
    option.steps.map((s) => s.loss),
  );
  const norm = furthest(
    got.map((s) => s.gradNorm),
    option.steps.map((s) => s.grad_norm),
  );
  console.log(`${name}: loss ${loss.toExponential(1)}, norm ${norm.toExponential(1)}`);
  expect(loss).toBeLessThanOrEqual(BOUNDS.loss);
  expect(norm).toBeLessThanOrEqual(BOUNDS.gradNorm);
  // without the option the run is another one
  const without = await losses({}, option);
  expect(Math.abs((without[1]?.loss as number) / (option.steps[1]?.loss as number) - 1)).toBeGreaterThan(1e-4);
});
