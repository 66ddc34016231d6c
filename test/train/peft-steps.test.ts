/** 20 steps of PEFT, step by step: LoRA on an f32 base, QLoRA from one bitsandbytes checkpoint, and accumulation. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import type { Batch, Engine } from '../../src/train/engine.ts';
import { learningRateMultiplier } from '../../src/train/schedule.ts';
import { itSubgroupMatrix } from '../gpu/subgroup-matrices.ts';
import { GOLDEN, openEngine } from './open.ts';

type Micro = { input_ids: number[][]; labels: number[][] };
type Step = { loss: number; grad_norm: number; learning_rate: number; num_items: number; micro_batches: Micro[] };
type Golden = { base: string; adapter_init: string; config: Record<string, never>; steps: Step[] };

// correct f32 code stays within 3e-7 and 6e-6; the smallest planted bug (Adam epsilon) moves the loss by 4.3e-5
const LOSS_RTOL = 1e-5;
const GRAD_NORM_RTOL = 2e-4;
const HALF_LOSS_RTOL = 2e-4;
const HALF_GRAD_NORM_RTOL = 2.5e-3;

function toBatch({ input_ids, labels }: Micro): Batch {
  const B = input_ids.length;
  const S = input_ids[0]?.length ?? 0;
  const shifted = labels.flatMap((row) => [...row.slice(1), -100]);
  return { B, S, inputIds: Uint32Array.from(input_ids.flat()), labels: Int32Array.from(shifted) };
}

async function replay(engine: Engine, config: TrainConfig, golden: Golden) {
  const reached = [];
  const ratesAt = (updates: number) => ({
    lr: config.learning_rate * learningRateMultiplier(config.lr_scheduler_type, updates, 0, golden.steps.length),
    bias1: 1 - config.adam_beta1 ** (updates + 1),
    sqrt_bias2: Math.sqrt(1 - config.adam_beta2 ** (updates + 1)),
  });
  for (const [i, want] of golden.steps.entries()) {
    const rates = ratesAt(i);
    const scalars = {
      ...rates,
      inv_tokens: 1 / want.num_items,
      loss_scale: 1,
      step: i,
      seed: 0,
    };
    const got = await engine.trainStep(want.micro_batches.map(toBatch), scalars, ratesAt);
    expect(rates.lr).toBeCloseTo(want.learning_rate, 12);
    reached.push({
      loss: Math.abs(got.loss - want.loss) / want.loss,
      norm: Math.abs(got.gradNorm - want.grad_norm) / want.grad_norm,
    });
  }
  return reached;
}

/** Distances from PEFT at each step of a golden run. */
async function distances(name: string, settings: Partial<TrainConfig> = {}) {
  const directory = path.join(GOLDEN, 'peft-steps', name);
  const golden = JSON.parse(readFileSync(path.join(directory, 'steps.json'), 'utf8')) as Golden;
  const shape = { B: 2, S: 24 };
  const given = { ...golden.config, ...settings, adapter_name_or_path: path.join(directory, golden.adapter_init) };
  const { engine, config } = await openEngine(path.join(directory, golden.base), given, {
    train: [shape],
    evaluation: [],
  });
  const reached = await replay(engine, config, golden);
  engine.destroy();
  const worst = { loss: Math.max(...reached.map((r) => r.loss)), norm: Math.max(...reached.map((r) => r.norm)) };
  console.log(
    `${name}: loss within ${worst.loss.toExponential(1)}, gradient norm within ${worst.norm.toExponential(1)}`,
  );
  expect(reached.length).toBe(golden.steps.length);
  return reached;
}

for (const name of ['lora', 'qlora', 'accumulation']) {
  describe(`PEFT golden: ${name}`, () => {
    it('loss and gradient norm at every step', async () => {
      for (const r of await distances(name)) {
        expect(r.loss).toBeLessThanOrEqual(LOSS_RTOL);
        expect(r.norm).toBeLessThanOrEqual(GRAD_NORM_RTOL);
      }
    });

    itSubgroupMatrix('the same on tensor cores, whose operands are float16', async () => {
      // a fixed scale, so that no step is skipped: PEFT's run in float32 skipped none
      const matrices = { compute_dtype: 'float16', matmul_tier: 'subgroup_matrix', loss_scale: 1024 } as const;
      for (const r of await distances(name, matrices)) {
        expect(r.loss).toBeLessThanOrEqual(HALF_LOSS_RTOL);
        expect(r.norm).toBeLessThanOrEqual(HALF_GRAD_NORM_RTOL);
      }
    });
  });
}
