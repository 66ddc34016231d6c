/** Kernels that write or read activations in float16: rounded once, and what f16 does not hold flagged on the f32 bits before. */
import { describe, expect } from 'vitest';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { qkGradients, qkvOperands } from '../../src/kernels/attention-operands.ts';
import { roundToHalf } from '../../src/kernels/dequant.ts';
import { dropoutFwd } from '../../src/kernels/dropout.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import { gluBwdHalf, gluFwd } from '../../src/kernels/glu.ts';
import { rmsnormFwd } from '../../src/kernels/rmsnorm.ts';
import { expectRoundedToHalf, itFloat16, toHalves, unpackHalves } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { expectSameBits, random } from '../ref/compare.ts';
import { gegluBwdRef, gegluFwdRef, swigluBwdRef, swigluFwdRef } from '../ref/elementwise.ts';
import { f16Bits, f16Value } from '../ref/nf4.ts';
import { rmsnormFwdRef } from '../ref/rmsnorm.ts';
import { ropeBwdRef, ropeFwdRef, ropeTables } from '../ref/rope.ts';
import { runCase, SQUARE } from './matmul-cases.ts';

/** Halves of NaN: an element that no kernel wrote fails every comparison. */
const NAN_HALVES = 0x7e007e00;
const halfOutput = (bench: Bench, label: string, n: number): Tensor =>
  bench.input(label, new Uint32Array(n / 2).fill(NAN_HALVES), [n], { dtype: 'f16' });

async function expectHalves(bench: Bench, tensor: Tensor, want: ArrayLike<number>, slack: number): Promise<void> {
  expectHalvesOf(tensor.label, unpackHalves(await bench.readU32(tensor), tensor.elements).map(f16Value), want, slack);
}
function expectHalvesOf(label: string, got: readonly number[], want: ArrayLike<number>, slack: number): void {
  expect(got.length).toBe(want.length);
  got.forEach((value, i) => {
    // what f16 has no normal number for may be flushed
    if (Math.abs(want[i] as number) >= 2 ** -14) expectRoundedToHalf(`${label}[${i}]`, value, want[i] as number, slack);
    else if (!(Math.abs(value - (want[i] as number)) <= 2 ** -14)) throw new Error(`${label}[${i}]: ${value}`);
  });
}
const flagsOf = async (bench: Bench): Promise<number> => (await bench.readU32(bench.flags))[0] ?? -1;

/** The largest f16 number, the next in f32, and what is not finite: what each raises. */
const EDGES = [
  [65504, 0],
  [65504.004, FLAG.input],
  [Number.POSITIVE_INFINITY, FLAG.input],
  [Number.NaN, FLAG.input],
] as const;

describe('rmsnorm in f16', () => {
  for (const tier of ['direct', 'simt'] as const) {
    itFloat16(`${tier}: rounded once`, async () => {
      const [T, C] = [9, 40];
      const bench = new Bench({ profile: { tier }, maxWorkgroups: 7 });
      const [x, w] = [random(1).normal32(T * C), random(2).normal32(C)];
      const y = halfOutput(bench, 'y', T * C);
      const inputs = { x: bench.input('x', x), w: bench.input('w', w) };
      rmsnormFwd(bench.tape, { T, C, eps: 1e-5, offset: 0, ...inputs, y, rstd: bench.output('rstd', [T]) });
      await bench.run();
      await expectHalves(bench, y, rmsnormFwdRef(x, w, T, C, 1e-5).y, 1e-5);
      expect(await flagsOf(bench)).toBe(0);
    });
    for (const [value, flag] of EDGES) {
      itFloat16(`${tier}: ${value} is ${flag === 0 ? 'held' : 'flagged'}`, async () => {
        const [T, C] = [3, 8];
        const bench = new Bench({ profile: { tier } });
        const w = new Float32Array(C).fill(1);
        w[C - 1] = value;
        const x = bench.input('x', new Float32Array(T * C).fill(1));
        const y = halfOutput(bench, 'y', T * C);
        const out = { y, rstd: bench.output('rstd', [T]) };
        rmsnormFwd(bench.tape, { T, C, eps: 0, offset: 0, x, w: bench.input('w', w), ...out });
        await bench.run();
        expect(await flagsOf(bench)).toBe(flag);
      });
    }
  }
});

describe('the gated unit in f16', () => {
  /** Rows of the first half of each row, as `gluBwdHalf` leaves them. */
  async function firstHalves(bench: Bench, tensor: Tensor, T: number, F: number): Promise<number[]> {
    const all = unpackHalves(new Uint32Array((await bench.read(tensor)).buffer), 2 * T * F).map(f16Value);
    return Array.from({ length: T * F }, (_, i) => all[2 * F * Math.floor(i / F) + (i % F)] as number);
  }

  // a row of less than a workgroup's loads, of as many, and of several times as many and a rest; rows past the grid
  for (const [T, F] of [
    [3, 8],
    [2, 512],
    [9, 1304],
  ] as const) {
    itFloat16(`${T} rows of ${F}: rounded once, the gradients in the place of gate and up`, async () => {
      const n = T * F;
      const r = random(n);
      const [gate, up] = [r.normal32(n, 3), r.normal32(n)];
      const dh = r.normal32(n).map((v) => f16Value(f16Bits(v)));
      for (const [act, half] of [
        ['silu', false],
        ['silu', true],
        ['gelu_pytorch_tanh', true],
      ] as const) {
        const [forward, backward] = act === 'silu' ? [swigluFwdRef, swigluBwdRef] : [gegluFwdRef, gegluBwdRef];
        const want = backward(gate, up, dh);
        const bench = new Bench({ maxWorkgroups: 7 });
        const inputs = { gate: bench.input('gate', gate), up: bench.input('up', up) };
        const h = halfOutput(bench, 'h', n);
        const of = half ? bench.input('dh', toHalves(dh), [n], { dtype: 'f16' }) : bench.input('dh', dh);
        gluFwd(bench.tape, { act, ...inputs, h });
        gluBwdHalf(bench.tape, { act, T, F, ...inputs, dh: of });
        await bench.run();
        await expectHalves(bench, h, forward(gate, up), 1e-5);
        expectHalvesOf('dgate', await firstHalves(bench, inputs.gate, T, F), want.dgate, 1e-5);
        expectHalvesOf('dup', await firstHalves(bench, inputs.up, T, F), want.dup, 1e-5);
        expect(await flagsOf(bench)).toBe(0);
      }
    });
  }
  // sigmoid(100) is 1 in f32, and its slope 0
  for (const [value, flag] of EDGES) {
    itFloat16(`${value} is ${flag === 0 ? 'held' : 'flagged'} in h, dgate and dup`, async () => {
      const scaled = value / 128;
      const cases = [
        { gate: 128, up: scaled, dh: 0, which: 'h' },
        { gate: 128, up: scaled, dh: 128, which: 'dgate' },
        { gate: 128, up: 0, dh: scaled, which: 'dup' },
      ];
      for (const { gate, up, dh, which } of cases) {
        const bench = new Bench();
        const all = (label: string, v: number) => bench.input(label, Float32Array.of(0, 0, 0, 0, 0, 0, 0, v));
        const inputs = { gate: all('gate', gate), up: all('up', up) };
        if (which === 'h') gluFwd(bench.tape, { act: 'silu', ...inputs, h: halfOutput(bench, 'h', 8) });
        else gluBwdHalf(bench.tape, { act: 'silu', T: 1, F: 8, ...inputs, dh: all('dh', dh) });
        await bench.run();
        expect(await flagsOf(bench), which).toBe(flag);
      }
    });
  }
});

describe('the kept input of a checkpointed layer', () => {
  for (const [value, flag] of EDGES) {
    itFloat16(`${value} is ${flag === 0 ? 'held' : 'flagged'}`, async () => {
      const bench = new Bench();
      const x = bench.input('x', Float32Array.of(1, -2, 0, value));
      roundToHalf(bench.tape, { x, half: halfOutput(bench, 'half', 4) });
      await bench.run();
      expect(await flagsOf(bench)).toBe(flag);
    });
  }
});

describe('dropout of f16', () => {
  itFloat16('the bits of f32', async () => {
    const n = 516;
    const x = random(n)
      .normal32(n)
      .map((v) => f16Value(f16Bits(v)));
    const bench = new Bench({ maxWorkgroups: 7 });
    const half = bench.input('half', toHalves(x), [n], { dtype: 'f16' });
    const [got, want] = [bench.output('got', [n]), bench.output('want', [n])];
    dropoutFwd(bench.tape, { p: 0.3, op: 5, x: half, y: got });
    dropoutFwd(bench.tape, { p: 0.3, op: 5, x: bench.input('x', x), y: want });
    await bench.run();
    expectSameBits('y', await bench.read(got), await bench.read(want));
  });
});

describe('simt products of activations in f16: the bits of f32', () => {
  const SMALL = { tiles: { simt: SQUARE, simtF16: SQUARE } };
  // whole tiles by vectors, odd sizes one by one, and slices of the depth; where there are matrices LoRA's products go this way too
  for (const sizes of [
    [32, 32, 32],
    [35, 25, 33],
    [260, 20, 260],
  ] as const) {
    itFloat16(`nt, nn and tn ${sizes.join('x')}`, async () => {
      for (const op of ['nt', 'nn', 'tn'] as const) {
        const want = await runCase({ tier: 'simt', ...SMALL }, { op, sizes, maxWorkgroups: 20 });
        const input = [{ halfInput: true }];
        for (const halves of op === 'tn' ? [...input, { half: true }, { half: true, halfInput: true }] : input) {
          const got = await runCase({ tier: 'simt', ...SMALL }, { op, sizes, maxWorkgroups: 20, ...halves });
          expectSameBits(`${op} ${Object.keys(halves)}`, got.got, want.got);
          expect(got.flags).toBe(0);
        }
      }
    });
  }
});

describe('operands of attention', () => {
  const [B, S, H, K, D] = [2, 5, 4, 2, 16];
  const T = B * S;
  const tables = ropeTables(S + 2, D);
  const positions = Uint32Array.of(0, 1, 2, 0, 1, 0, 0, 1, 2, 3);
  const turnOf = (bench: Bench, at: 'row' | 'positions' | 'none') =>
    at === 'none'
      ? null
      : {
          cos: bench.input('cos', tables.cos),
          sin: bench.input('sin', tables.sin),
          positions: at === 'positions' ? bench.input('positions', positions) : undefined,
        };
  const [q, k, v] = [H, K, K].map((heads, i) => random(i).normal32(T * heads * D)) as [
    Float32Array<ArrayBuffer>,
    Float32Array<ArrayBuffer>,
    Float32Array<ArrayBuffer>,
  ];
  for (const at of ['row', 'positions', 'none'] as const) {
    itFloat16(`turned ${at === 'none' ? 'nowhere' : `by ${at}`}, and back`, async () => {
      const bench = new Bench({ maxWorkgroups: 20, spare: ['cos_table', 'sin_table'] });
      const [given, turn] = [{ q: bench.input('q', q), k: bench.input('k', k) }, turnOf(bench, at)];
      const out = (name: string, heads: number) => halfOutput(bench, name, T * heads * D);
      const forward = { qOut: out('q_out', H), kOut: out('k_out', K), vOut: out('v_out', K) };
      const backward = { qOut: out('dq', H), kOut: out('dk', K) };
      const shape = { T, S, H, K, D, turn };
      qkvOperands(bench.tape, { ...shape, ...given, v: bench.input('v', v), ...forward });
      qkGradients(bench.tape, { ...shape, ...given, ...backward });
      await bench.run();
      const ref = (x: Float32Array, heads: number, turned: typeof ropeFwdRef) =>
        at === 'none' ? x : turned(x, { T, S, heads, D, ...tables, ...(at === 'positions' && { positions }) });
      await expectHalves(bench, forward.qOut, ref(q, H, ropeFwdRef), 1e-6);
      await expectHalves(bench, forward.kOut, ref(k, K, ropeFwdRef), 1e-6);
      await expectHalves(bench, forward.vOut, v, 0);
      await expectHalves(bench, backward.qOut, ref(q, H, ropeBwdRef), 1e-6);
      await expectHalves(bench, backward.kOut, ref(k, K, ropeBwdRef), 1e-6);
      expect(await flagsOf(bench)).toBe(0);
    });
  }
  for (const [value, flag] of EDGES) {
    itFloat16(`${value} is ${flag === 0 ? 'held' : 'flagged'} in dq and dk`, async () => {
      for (const which of ['q', 'k'] as const) {
        const bench = new Bench();
        const input = (name: 'q' | 'k', x: Float32Array<ArrayBuffer>) => {
          const changed = x.slice();
          if (name === which) changed[x.length - 1] = value;
          return bench.input(name, changed);
        };
        const outputs = { qOut: halfOutput(bench, 'dq', T * H * D), kOut: halfOutput(bench, 'dk', T * K * D) };
        qkGradients(bench.tape, { T, S, H, K, D, turn: null, q: input('q', q), k: input('k', k), ...outputs });
        await bench.run();
        expect(await flagsOf(bench), which).toBe(flag);
      }
    });
    itFloat16(`${value} is ${flag === 0 ? 'held' : 'flagged'} in q, k and v`, async () => {
      for (const which of ['q', 'k', 'v'] as const) {
        const bench = new Bench();
        const inputs = Object.fromEntries(
          Object.entries({ q, k, v }).map(([name, x]) => {
            const changed = x.slice();
            if (name === which) changed[x.length - 1] = value;
            return [name, bench.input(name, changed)];
          }),
        ) as Record<'q' | 'k' | 'v', Tensor>;
        const out = (name: string, heads: number) => halfOutput(bench, name, T * heads * D);
        const outputs = { qOut: out('q_out', H), kOut: out('k_out', K), vOut: out('v_out', K) };
        qkvOperands(bench.tape, { T, S, H, K, D, turn: null, ...inputs, ...outputs });
        await bench.run();
        expect(await flagsOf(bench), which).toBe(flag);
      }
    });
  }
});
