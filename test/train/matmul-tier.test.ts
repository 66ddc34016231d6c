/** A whole run by another tier of matrix products: its losses, its notes, and its plan. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { DeviceError } from '../../src/errors.ts';
import { estimateRun } from '../../src/estimate/estimate.ts';
import type { Command } from '../../src/gpu/command.ts';
import { loadShaders } from '../../src/node/device.ts';
import type { TrainResult } from '../../src/train/run.ts';
import { runTiers } from '../../src/train/tiers.ts';
import { directory } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';
import { device } from '../gpu/harness.ts';
import { writeShallow } from '../models/shallow.ts';
import { type Files, learnableRows, runTraining } from './run.ts';

const TINY = await writeShallow(path.join(directory(), 'tiny'), 2);
const QWEN2 = new URL('../golden/architectures/qwen2/dense/', import.meta.url).pathname;
const files: Files = new Map([['rows.jsonl', learnableRows(1, 4, 8, 160)]]);
// AdamW's first update is a sign times the rate, whatever the gradient's size: with a large rate, rounding would look
// like a bug
const config: Partial<TrainConfig> = {
  model_name_or_path: TINY,
  method: 'lora',
  lora_target_modules: ['down_proj'],
  max_steps: 2,
  learning_rate: 2e-4,
  per_device_train_batch_size: 1,
};

// software drivers compile and run small tiles sooner
Object.assign(device, { profile: { ...device.profile, tiles: { simt: { BM: 16, BN: 16, BK: 8, TM: 4, TN: 4 } } } });
/** Trains, and keeps the commands of all plans, which go with the engine. */
async function run(matmul_tier: 'direct' | 'simt' | 'subgroup_matrix', more: Partial<TrainConfig> = {}) {
  let commands: Command[] = [];
  const inspect = async ({ engine }: TrainResult): Promise<void> => {
    commands = engine.machine.plans.flatMap((plan) => plan.commands);
  };
  const trained = await runTraining({ '.': files }, { ...config, ...more, matmul_tier }, { inspect });
  return { ...trained, commands };
}
/** Whether each product of a weight with rows of x takes a second source. */
const folds = ({ commands }: Awaited<ReturnType<typeof run>>, forward: boolean): boolean[] =>
  commands
    .flatMap((c) => (c.kind === 'dispatch' && c.kernel.spec.name === 'matmul_simt' ? [c.kernel.spec.when ?? []] : []))
    .filter((when) => when.includes('A_DEPTH') && when.includes('B_DEPTH') === forward)
    .map((when) => when.includes('PLUS'));

/** Compares within the error of f32 sums in another order, which also separates training here from torch's. */
function expectSameSteps(got: Awaited<ReturnType<typeof run>>, want: Awaited<ReturnType<typeof run>>): void {
  expect(got.result.steps.length).toBe(2);
  got.result.steps.forEach(({ loss, gradNorm }, i) => {
    const other = want.result.steps[i];
    expect(Math.abs(loss - (other?.loss ?? 0))).toBeLessThan(3e-7 * loss);
    expect(Math.abs(gradNorm - (other?.gradNorm ?? 0))).toBeLessThan(6e-6 * gradNorm);
  });
}

describe('matmul_tier', () => {
  it('simt trains as direct does; its split products are in the plan and in the ledger', async () => {
    const [direct, simt] = [await run('direct'), await run('simt')];
    expect(direct.result.engine.machine.profile.tier).toBe('direct');
    expect(simt.result.engine.machine.profile.tier).toBe('simt');
    expectSameSteps(simt, direct);
    const { input, result } = simt;
    const estimate = estimateRun(input.layout, input.config, input.batches.shapes, device.profile, loadShaders());
    expect(estimate.byCategory).toEqual(result.ledger.peak.byCategory);
    const names = simt.commands.map((c) => (c.kind === 'dispatch' ? c.kernel.spec.name : c.kind));
    expect(names.filter((n) => n === 'matmul_reduce').length).toBeGreaterThan(3);
    expect(names.filter((n) => /^matmul_(nt|nn|tn)$/.test(n))).toEqual([]);
  });

  it('simt sums LoRA terms and biases within their products, but for the backward under dropout', async () => {
    const biased = { model_name_or_path: QWEN2, lora_target_modules: ['q_proj', 'down_proj'] };
    for (const lora_dropout of [0, 0.25]) {
      const [direct, simt] = [
        await run('direct', { ...biased, lora_dropout }),
        await run('simt', { ...biased, lora_dropout }),
      ];
      expectSameSteps(simt, direct);
      expect(folds(simt, true)).toContain(true);
      expect(folds(simt, false).includes(true)).toBe(lora_dropout === 0);
      const { input, result } = simt;
      const { head_dim } = input.layout.spec.config;
      expect(runTiers(result.engine.machine.profile, input.config, head_dim)).toMatchObject({
        matmul: { tier: 'simt' },
        lora: { forward: 'folded', backward: lora_dropout === 0 ? 'folded' : 'separate', operands: 'float32' },
      });
    }
  });

  it('subgroup_matrix with float32 is refused before anything is allocated', async () => {
    const error = await rejection(run('subgroup_matrix'));
    expect(error).toBeInstanceOf(DeviceError);
    expect(error.message).toContain('matmul_tier subgroup_matrix is not possible on');
  });
});
