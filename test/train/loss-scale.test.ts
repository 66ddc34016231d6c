/** Loss scaling in whole steps, as torch.amp.GradScaler and Trainer do it; float16 needs shader-f16 (lavapipe). */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import type { Batch, Engine, StepMetrics } from '../../src/train/engine.ts';
import type { StepScalars } from '../../src/train/step-scalars.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { itSubgroupMatrix } from '../gpu/subgroup-matrices.ts';
import { random } from '../ref/compare.ts';
import { gradScalerRef } from '../ref/loss-scale.ts';
import { expectSameBytes } from '../wasm/helpers.ts';
import { GOLDEN, openEngine } from './open.ts';

const MODEL = path.join(GOLDEN, 'architectures', 'llama', 'dense');
const SHAPE = { B: 2, S: 16 };
const LORA = { lora_r: 4, lora_target_modules: 'all-linear', init_lora_weights: false } as const;
const F16 = { ...LORA, compute_dtype: 'float16' } as const;

const open = (overrides: Partial<TrainConfig>) => openEngine(MODEL, overrides, { train: [SHAPE], evaluation: [SHAPE] });

function batchOf(seed: number): Batch {
  const ids = Uint32Array.from(random(seed).integers(SHAPE.B * SHAPE.S, 96));
  return { ...SHAPE, inputIds: ids, labels: Int32Array.from(ids, (_, i) => ids[i ^ 1] as number) };
}

/** A different rate for every update. */
const ratesAt = (updates: number) => ({
  lr: 1e-3 * (1 + (updates % 5)),
  bias1: 1 - 0.9 ** (updates + 1),
  sqrt_bias2: Math.sqrt(1 - 0.999 ** (updates + 1)),
});

/** Multiplied with a loss scale, far above what an f16 operand can hold. */
const PLANTED = 1e6;

type TestStep = { readonly batch: number; readonly inv_tokens?: number; readonly loss_scale?: number };

/** Runs steps as a run submits them: the results of one are read when the next has been submitted. */
async function steps(engine: Engine, list: readonly TestStep[]): Promise<StepMetrics[]> {
  const found: StepMetrics[] = [];
  let inFlight: Promise<StepMetrics> | null = null;
  for (const [step, { batch, inv_tokens = 1 / 32, loss_scale = 1 }] of list.entries()) {
    const scalars: Omit<StepScalars, 'micro'> = { ...ratesAt(step), inv_tokens, loss_scale, seed: 1, step };
    const submitted = engine.trainStep([batchOf(batch)], scalars, ratesAt);
    if (inFlight !== null) found.push(await inFlight);
    inFlight = submitted;
  }
  if (inFlight !== null) found.push(await inFlight);
  return found;
}

/** Reads parameters and both moments, one after the other. */
async function stateOf({ engine, declared }: Awaited<ReturnType<typeof open>>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const trainable of declared.trainable.tensors.values()) {
    parts.push(new Uint8Array((await engine.readTensor(trainable.param)).buffer));
    for (const part of engine.state.parts(trainable)) parts.push(await engine.state.read(trainable, part));
  }
  return Buffer.concat(parts);
}

test('float32: a scale of 1024 changes no loss, no norm and no parameter in any bit', async () => {
  const [plain, scaled] = [await open(LORA), await open(LORA)];
  const list = [1, 2, 3, 4].map((batch) => ({ batch }));
  const want = await steps(plain.engine, list);
  const got = await steps(
    scaled.engine,
    list.map((p) => ({ ...p, loss_scale: 1024 })),
  );
  expect(got).toEqual(want);
  expect(want.every(({ finite, lossScale, updates }, i) => finite && lossScale === null && updates === i)).toBe(true);
  expectSameBytes(await stateOf(scaled), await stateOf(plain));
  for (const { engine } of [plain, scaled]) engine.destroy();
});

describe('float16', () => {
  itFloat16('steps that overflow leave no trace: the others are the run without them, to the bit', async () => {
    const [run, reference] = [await open({ ...F16, loss_scale: 1024 }), await open({ ...F16, loss_scale: 1024 })];
    const broken = { batch: 9, inv_tokens: PLANTED };
    const [a, b, c, d, e] = [1, 2, 3, 4, 5].map((batch) => ({ batch })) as [
      TestStep,
      TestStep,
      TestStep,
      TestStep,
      TestStep,
    ];
    const got = await steps(run.engine, [broken, a, b, broken, broken, broken, c, d, broken, e]);
    expect(got.map(({ finite }) => finite)).toEqual([false, true, true, false, false, false, true, true, false, true]);
    // the number of updates decides Adam's bias correction and the learning rate
    expect(got.map(({ updates }) => updates)).toEqual([0, 0, 1, 2, 2, 2, 2, 3, 4, 4]);
    expect(got.every(({ lossScale }) => lossScale === 1024)).toBe(true);
    expect(got.map(({ flags }) => flags & FLAG.input)).toEqual([1, 0, 0, 1, 1, 1, 0, 0, 1, 0]);
    const want = await steps(reference.engine, [a, b, c, d, e]);
    expect(got.filter(({ finite }) => finite)).toEqual(want);
    expectSameBytes(await stateOf(run), await stateOf(reference));
    for (const { engine } of [run, reference]) engine.destroy();
  });

  itFloat16('the default scale backs off from an overflow until gradients fit, and goes on', async () => {
    const run = await open(F16);
    // dlogits of up to 8 times the scale: 65536, 32768 and 16384 are more than f16 holds
    const got = await steps(
      run.engine,
      Array.from({ length: 8 }, () => ({ batch: 1, inv_tokens: 8 })),
    );
    const overflows = got.map(({ finite }) => !finite);
    expect(overflows.slice(0, 3)).toEqual([true, true, true]);
    expect(overflows.at(-1)).toBe(false);
    const rule = { init: 65_536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000 };
    expect(got.map(({ lossScale }) => lossScale)).toEqual(gradScalerRef(overflows, rule).slice(0, -1));
    expect(got.map(({ updates }) => updates)).toEqual(
      got.map((_, i) => overflows.slice(0, i).filter((skipped) => !skipped).length),
    );
    run.engine.destroy();
  });

  itFloat16('a huge activation, and a huge weight, are skipped and named; without them training goes on', async () => {
    const run = await open(F16);
    const stepOn = (batch: number) => [{ batch }];
    const { param } = run.declared.trainable.segments[0] as { param: Parameters<Engine['readTensor']>[0] };
    const adapter = await run.engine.readTensor(param);
    run.engine.writeTensor(
      param,
      Float32Array.from(adapter, (v) => v * 1e6),
    );
    const [activation] = await steps(run.engine, stepOn(1));
    expect(activation).toMatchObject({ finite: false, lossScale: 65_536, updates: 0 });
    expect((activation as StepMetrics).flags & FLAG.input).toBe(FLAG.input);
    run.engine.writeTensor(param, adapter);

    const weight = run.declared.weights.get('model.layers.0.self_attn.q_proj.weight');
    if (weight?.kind !== 'dense' || weight.tensor.dtype !== 'bf16') throw new Error('wanted a dense bf16 weight');
    const first = weight.tensor.slice(0, 256);
    const values = await run.engine.readTensor(first);
    const planted = values.slice();
    new Uint16Array(planted.buffer)[1] = 0x4974; // bf16 of about 1e6
    run.engine.writeTensor(first, planted);
    const [inWeight] = await steps(run.engine, stepOn(1));
    expect(inWeight).toMatchObject({ finite: false, lossScale: 32_768, updates: 0 });
    expect((inWeight as StepMetrics).flags & FLAG.weight).toBe(FLAG.weight);
    run.engine.writeTensor(first, values);

    const [healthy] = await steps(run.engine, stepOn(1));
    expect(healthy).toMatchObject({ finite: true, lossScale: 16_384, updates: 0, flags: 0 });
    run.engine.destroy();
  });

  itFloat16('grows after growth_interval updates', async () => {
    const run = await open({ ...F16, init_scale: 256, growth_factor: 4, growth_interval: 3 });
    const got = await steps(
      run.engine,
      [1, 2, 3, 4, 5, 6, 7].map((batch) => ({ batch })),
    );
    expect(got.every(({ finite }) => finite)).toBe(true);
    expect(got.map(({ lossScale }) => lossScale)).toEqual([256, 256, 256, 1024, 1024, 1024, 4096]);
    run.engine.clearOptimizer();
    expect((await steps(run.engine, [{ batch: 1 }]))[0]).toMatchObject({ lossScale: 256, updates: 0 });
    run.engine.destroy();
  });

  // on matrix operands, which are f16: Mesa 25's compiler drops a rounding to f16 and back, so small values do not
  // vanish
  itSubgroupMatrix('gradients too small for f16 vanish without a scale and are right with it', async () => {
    // dlogits of about 1e-9 and f16's smallest subnormal of 6e-8; the scale lifts them by 65536
    const list = [{ batch: 1, inv_tokens: 1e-8 }];
    const normOf = async (overrides: Partial<TrainConfig>) => {
      const { engine } = await open(overrides);
      const [{ gradNorm, finite }] = (await steps(engine, list)) as [StepMetrics];
      engine.destroy();
      expect(finite).toBe(true);
      return gradNorm;
    };
    const matrices = { ...F16, matmul_tier: 'subgroup_matrix' } as const;
    const want = await normOf({ ...LORA, matmul_tier: 'direct' });
    const [scaled, unscaled] = [await normOf(matrices), await normOf({ ...matrices, loss_scale: 1 })];
    console.log(`norms: float32 ${want}, float16 scaled ${scaled}, unscaled ${unscaled}`);
    expect(Math.abs(scaled - want) / want).toBeLessThan(5e-3);
    expect(unscaled / want).toBeLessThan(0.5);
  });

  /** Returns the largest relative distances of loss and norm over 50 steps. */
  async function distance(matmul_tier: TrainConfig['matmul_tier']) {
    const curve = async (overrides: Partial<TrainConfig>) => {
      const { engine } = await open(overrides);
      const found = await steps(
        engine,
        Array.from({ length: 50 }, (_, i) => ({ batch: i % 5 })),
      );
      engine.destroy();
      return found;
    };
    const [want, got] = [await curve({ ...LORA, matmul_tier: 'direct' }), await curve({ ...F16, matmul_tier })];
    const worst = (of: (s: StepMetrics) => number, count = 50) =>
      Math.max(...want.slice(0, count).map((w, i) => Math.abs(of(got[i] as StepMetrics) - of(w)) / of(w)));
    const early = { loss: worst((s) => s.loss, 10), norm: worst((s) => s.gradNorm, 10) };
    const [loss, norm] = [worst((s) => s.loss), worst((s) => s.gradNorm)];
    console.log(
      `50 steps of float16, ${matmul_tier}: loss within ${loss}, gradient norm within ${norm}; of 10 ${early.loss}, ${early.norm}`,
    );
    expect((want[49] as StepMetrics).loss).toBeLessThan(0.8 * (want[0] as StepMetrics).loss);
    expect(got.every(({ finite, flags }) => finite && flags === 0)).toBe(true);
    return { loss, norm, early };
  }

  // each product averages many operands rounded to 11 bits; lavapipe 25 keeps the bits that rounding would take
  itFloat16('50 steps stay beside those of float32', async () => {
    const { loss, norm } = await distance('direct');
    expect(loss).toBeLessThan(1e-3);
    expect(norm).toBeLessThan(1e-2);
  });

  itSubgroupMatrix('50 steps by matrices stay beside those of float32', async () => {
    const { loss, norm, early } = await distance('subgroup_matrix');
    // ten steps: 1.1e-4 and 6e-4 here; with an alpha that is 1 % short, 1.3e-3 and 8.8e-3
    expect(early.loss).toBeLessThan(2e-4);
    expect(early.norm).toBeLessThan(2.5e-3);
    // then the runs drift apart: 2.0e-3 and 3.2e-2 at a spike of the 32nd step, 2.9e-2 and 0.3 with that alpha
    expect(loss).toBeLessThan(5e-3);
    expect(norm).toBeLessThan(6e-2);
  });

  itFloat16('500 steps allocate nothing', async () => {
    const { engine, ledger } = await open(F16);
    await steps(engine, [{ batch: 1 }]);
    const before = [ledger.currentBytes, ledger.liveCount];
    const created: string[] = [];
    const original = engine.machine.device.gpu.createBuffer.bind(engine.machine.device.gpu);
    engine.machine.device.gpu.createBuffer = (descriptor) => {
      created.push(descriptor.label ?? '?');
      return original(descriptor);
    };
    const got = await steps(
      engine,
      Array.from({ length: 500 }, (_, i) => ({ batch: 1, inv_tokens: i % 100 === 7 ? PLANTED : 1 / 32 })),
    );
    engine.machine.device.gpu.createBuffer = original;
    expect(got.filter(({ finite }) => !finite)).toHaveLength(5);
    expect(created).toEqual([]);
    expect([ledger.currentBytes, ledger.liveCount]).toEqual(before);
    engine.destroy();
  });
});
