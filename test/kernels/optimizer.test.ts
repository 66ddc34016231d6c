import { describe, expect, test } from 'vitest';
import { adamw } from '../../src/kernels/adamw.ts';
import { gradNorm, gradNormWorkspace, METRIC_COUNT } from '../../src/kernels/grad-norm.ts';
import type { StepScalars } from '../../src/train/step-scalars.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { adamwRef, clipRef } from '../ref/optimizer.ts';

async function metricsOf(
  gradients: readonly Float32Array<ArrayBuffer>[],
  maxNorm: number,
  step: Partial<StepScalars> = {},
) {
  const bench = new Bench({ maxWorkgroups: 7, step, spare: ['partial'] });
  const sizes = gradNormWorkspace(gradients.map((g) => g.length));
  gradNorm(bench.tape, {
    gradients: gradients.map((g) => bench.input('g', g)),
    maxNorm,
    workspace: [bench.output('sums', [sizes[0]]), bench.output('sums2', [Math.max(1, sizes[1])])],
    metrics: bench.output('metrics', [METRIC_COUNT]),
  });
  const metrics = bench.tape.commands.at(-1)!;
  await bench.run();
  if (metrics.kind !== 'dispatch') throw new Error('the last command is not a dispatch');
  return { got: await bench.read(metrics.bindings.at(-1)!.tensor), dispatches: bench.tape.commands.length };
}

describe('gradient norm', () => {
  // one value; one partial sum; two; a second level past 256 * 256; a third is beyond what a test should allocate
  test.each([
    [1, 2],
    [255, 2],
    [256, 2],
    [257, 2],
    [1003, 2],
    [65_536, 2],
    [65_540, 3],
    [131_075, 3],
  ])('of %i values takes %i dispatches', async (n, levels) => {
    const g = random(n).normal32(n);
    const { norm, coefficient } = clipRef(g, 2);
    const { got, dispatches } = await metricsOf([g], 2);
    expect(dispatches).toBe(levels);
    // each thread adds 256 squares in f32, then sums of sums: a relative error of a few 2^-24
    expectClose('norm, clip, flag', got, [norm, coefficient, 0], { rtol: 1e-6, atol: 0 });
  });

  test('over several tensors is that of all their values', async () => {
    const parts = [300, 7, 1024].map((n) => random(n).normal32(n, n / 500));
    const { norm, coefficient } = clipRef(
      parts.flatMap((p) => [...p]),
      0.3,
    );
    expectClose('metrics', (await metricsOf(parts, 0.3)).got, [norm, coefficient, 0], { rtol: 1e-6, atol: 0 });
  });

  test('below the limit, and with the limit 0, nothing is clipped', async () => {
    const g = Float32Array.of(3, 4);
    expectClose('below', (await metricsOf([g], 100)).got, [5, 1, 0], { rtol: 1e-6, atol: 0 });
    expectClose('no limit', (await metricsOf([g], 0)).got, [5, 1, 0], { rtol: 1e-6, atol: 0 });
  });

  test('the loss scale is taken out of the norm and of the gradient', async () => {
    const { got } = await metricsOf([Float32Array.of(3 * 64, 4 * 64)], 2, { loss_scale: 64 });
    expectClose('metrics', got, [5, 2 / (5 + 1e-6) / 64, 0], { rtol: 1e-6, atol: 0 });
  });

  test.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['a value whose square overflows', 1e30],
  ])('%s in the last place raises the flag', async (_, bad) => {
    const g = random(1).normal32(70_001);
    g[g.length - 1] = bad;
    expect((await metricsOf([g], 1)).got[2]).toBe(1);
  });
});

describe('adamw', () => {
  const settings = { beta1: 0.9, beta2: 0.999, eps: 1e-3, weightDecay: 0.1 };
  const lr = 0.01;
  const stepAt = (t: number) => ({ lr, bias1: 1 - 0.9 ** t, sqrt_bias2: Math.sqrt(1 - 0.999 ** t) });

  // one, odd, vec4, past 7 workgroups of 64
  test.each([1, 63, 64, 1001])('three steps on %i parameters', async (n) => {
    const r = random(n);
    const clip = 0.7;
    let [p, m, v] = [r.normal32(n), new Float32Array(n), new Float32Array(n)];
    const want = { p: Float64Array.from(p), m: new Float64Array(n), v: new Float64Array(n) };
    for (let t = 1; t <= 3; t++) {
      const g = r.normal32(n, 10 ** (1 - t)); // gradients from 1 to 0.01: eps counts in the last step
      const bench = new Bench({ maxWorkgroups: 7, step: stepAt(t) });
      const tensors = {
        p: bench.input('p', p),
        g: bench.input('g', g),
        m: bench.input('m', m),
        v: bench.input('v', v),
      };
      adamw(bench.tape, { ...settings, ...tensors, metrics: bench.input('metrics', Float32Array.of(9, clip, 0)) });
      await bench.run();
      adamwRef(want.p, g, want.m, want.v, t, { ...settings, lr, clip });
      [p, m, v] = [await bench.read(tensors.p), await bench.read(tensors.m), await bench.read(tensors.v)];
      // p is rounded twice a step (decay, update), by half an ulp = 2^-24 each; m and v likewise, from smaller starts
      expectClose(`m after ${t}`, m, want.m, { rtol: 1e-6, atol: 3e-8 });
      expectClose(`v after ${t}`, v, want.v, { rtol: 1e-6, atol: 0 });
      expectClose(`p after ${t}`, p, want.p, { rtol: 2 * t * 2 ** -24, atol: 2e-8 });
      expect((await bench.read(tensors.g)).every((x) => x === 0)).toBe(true);
    }
  });

  test('a gradient that is not finite changes nothing, and is cleared', async () => {
    const start = random(5).normal32(8);
    const bench = new Bench({ step: stepAt(1) });
    const [p, m, v] = [bench.input('p', start), bench.input('m', start), bench.input('v', start)];
    const g = bench.input('g', new Float32Array(8).fill(Number.NaN));
    adamw(bench.tape, { ...settings, p, g, m, v, metrics: bench.input('metrics', Float32Array.of(1, 1, 1)) });
    await bench.run();
    for (const t of [p, m, v]) expect(await bench.read(t), t.label).toEqual(start);
    expect(await bench.read(g)).toEqual(new Float32Array(8));
  });
});
