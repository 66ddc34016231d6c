/** Optimizers that page: the same run to the bit as one that does not, within its budget at every moment. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { estimateRun } from '../../src/estimate/estimate.ts';
import type { HeldState } from '../../src/train/held-state.ts';
import { device } from '../gpu/harness.ts';
import { expectSameBytes } from '../wasm/helpers.ts';
import { GOLDEN } from './open.ts';
import { ADAPTER, bytesOf, type Files, learnableRows, type Run, runTraining } from './run.ts';

const BASE = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
const rows: Files = new Map([['rows.jsonl', learnableRows(1, 16, 20, 160)]]);

type Seen = { readonly run: Run; readonly state: Pick<HeldState, 'pager'>; readonly optimizerBytes: number };

async function trained(overrides: Partial<TrainConfig>): Promise<Seen> {
  let seen: Omit<Seen, 'run'> | undefined;
  const common = { model_name_or_path: BASE, gradient_accumulation_steps: 2, weight_decay: 0.1, max_steps: 4 };
  const run = await runTraining(
    { '.': rows },
    { ...common, ...overrides },
    {
      inspect: async ({ engine, ledger }) => {
        seen = { state: engine.state, optimizerBytes: ledger.peak.byCategory.optimizer };
      },
    },
  );
  if (seen === undefined) throw new Error('the run was not looked at');
  return { run, ...seen };
}

type Case = readonly [string, Partial<TrainConfig>, whole: TrainConfig['optim'], paged: TrainConfig['optim']];
const cases: readonly Case[] = [
  // tensors from 64 elements (a magnitude) to a few thousand
  ['DoRA, 32 bits', { use_dora: true, lora_dropout: 0.1 }, 'adamw_torch', 'paged_adamw_32bit'],
  // A of q_proj has 4,096 elements: 8 bits; others have fewer, and keep 32
  ['DoRA, 8 bits', { use_dora: true, lora_r: 64 }, 'adamw_8bit', 'paged_adamw_8bit'],
  ['QLoRA, 8 bits', { method: 'qlora', load_in_4bit: true, lora_r: 64 }, 'adamw_8bit', 'paged_adamw_8bit'],
  ['every weight', { method: 'full', learning_rate: 1e-3 }, 'adamw_torch', 'paged_adamw_32bit'],
];

describe.each(cases)('%s', (_, overrides, optim, paged) => {
  test('paged = not paged, to the bit, with state three times its budget', async () => {
    const whole = await trained({ ...overrides, optim });
    const budget = Math.floor(whole.optimizerBytes / 3);
    const { run, state, optimizerBytes } = await trained({
      ...overrides,
      optim: paged,
      paged_optimizer_memory: budget,
    });
    const weights = overrides.method === 'full' ? 'model.safetensors' : ADAPTER;
    expect(run.losses).toEqual(whole.run.losses);
    expectSameBytes(bytesOf(run, weights), bytesOf(whole.run, weights));
    expect(whole.state.pager).toBeNull();
    expect(optimizerBytes).toBeLessThanOrEqual(budget);
    expect(optimizerBytes).toBeGreaterThan(0.8 * budget);
    const { pager } = state;
    expect(pager?.pages.length).toBeGreaterThan(3);
    // all that is not resident goes both ways in each of the 4 steps
    expect(pager?.traffic.toGpuBytes).toBe(4 * (pager?.hostBytes as number));
    expect(pager?.traffic.toHostBytes).toBe(4 * (pager?.hostBytes as number));
    // estimate = ledger
    const { config, layout, batches } = run.input;
    const estimate = estimateRun(layout, config, batches.shapes, device.profile, device.shaders);
    expect(estimate.byCategory).toEqual(run.result.ledger.peak.byCategory);
  });
});
