/** 20 steps of PEFT, step by step: LoRA on an f32 base, QLoRA from one bitsandbytes checkpoint, and accumulation. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import type { Batch, Engine } from '../../src/train/engine.ts';
import { learningRateMultiplier } from '../../src/train/schedule.ts';
import { GOLDEN, openEngine } from './open.ts';

type Micro = { input_ids: number[][]; labels: number[][] };
type Step = { loss: number; grad_norm: number; learning_rate: number; num_items: number; micro_batches: Micro[] };
type Golden = { base: string; adapter_init: string; config: Record<string, never>; steps: Step[] };

// correct f32 code stays within 3e-7 and 6e-6; the smallest planted bug (Adam epsilon) moves the loss by 4.3e-5
const LOSS_RTOL = 1e-5;
const GRAD_NORM_RTOL = 2e-4;

function toBatch({ input_ids, labels }: Micro): Batch {
  const B = input_ids.length;
  const S = input_ids[0]?.length ?? 0;
  const shifted = labels.flatMap((row) => [...row.slice(1), -100]);
  return { B, S, inputIds: Uint32Array.from(input_ids.flat()), labels: Int32Array.from(shifted) };
}

async function replay(engine: Engine, config: TrainConfig, golden: Golden) {
  const reached = [];
  for (const [i, want] of golden.steps.entries()) {
    const lr = config.learning_rate * learningRateMultiplier(config.lr_scheduler_type, i, 0, golden.steps.length);
    const t = i + 1;
    const scalars = {
      lr,
      bias1: 1 - config.adam_beta1 ** t,
      sqrt_bias2: Math.sqrt(1 - config.adam_beta2 ** t),
      inv_tokens: 1 / want.num_items,
      loss_scale: 1,
      step: i,
      seed: 0,
    };
    const got = await engine.trainStep(want.micro_batches.map(toBatch), scalars);
    expect(lr).toBeCloseTo(want.learning_rate, 12);
    reached.push({
      loss: Math.abs(got.loss - want.loss) / want.loss,
      norm: Math.abs(got.gradNorm - want.grad_norm) / want.grad_norm,
    });
  }
  return reached;
}

for (const name of ['lora', 'qlora', 'accumulation']) {
  describe(`PEFT golden: ${name}`, () => {
    it('loss and gradient norm at every step', async () => {
      const directory = path.join(GOLDEN, 'peft-steps', name);
      const golden = JSON.parse(readFileSync(path.join(directory, 'steps.json'), 'utf8')) as Golden;
      const shape = { B: 2, S: 24 };
      const overrides = { ...golden.config, adapter_name_or_path: path.join(directory, golden.adapter_init) };
      const { engine, config } = await openEngine(path.join(directory, golden.base), overrides, {
        train: [shape],
        evaluation: [],
      });
      const reached = await replay(engine, config, golden);
      const worst = { loss: Math.max(...reached.map((r) => r.loss)), norm: Math.max(...reached.map((r) => r.norm)) };
      console.log(
        `${name}: loss within ${worst.loss.toExponential(1)}, gradient norm within ${worst.norm.toExponential(1)}`,
      );
      expect(reached.length).toBe(golden.steps.length);
      for (const r of reached) {
        expect(r.loss).toBeLessThanOrEqual(LOSS_RTOL);
        expect(r.norm).toBeLessThanOrEqual(GRAD_NORM_RTOL);
      }
      engine.destroy();
    });
  });
}
