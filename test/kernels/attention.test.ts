import { describe, expect, test } from 'vitest';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { attentionBwd, attentionFwd, planAttention } from '../../src/kernels/attention.ts';
import { itHardware } from '../gpu/hardware.ts';
import { Bench, sequencesAt } from '../gpu/harness.ts';
import { attentionFwdRef } from '../ref/attention.ts';
import { expectClose, expectSameBits, random, type Vec } from '../ref/compare.ts';
import {
  type Case,
  caseName,
  expectOutcome,
  F32,
  GPU_CASES,
  inputsOf,
  referenceOf,
  runBesideNaN,
  runCase,
} from './attention-cases.ts';

const cases = (rows: readonly (readonly [number, number, number, number, number, (number | null)?])[]): Case[] =>
  rows.map(([B, S, H, K, D, window = null]) => ({ B, S, H, K, D, window, maxWorkgroups: 7 }));

// one token; around the round of four keys; one, some and all heads to a group; past 7 workgroups of 64; windows of one key,
// below, at and not a multiple of the round, of all keys, and of more than there are; documents of one token, that end at
// and beside rounds, in rows that differ, and with a window that is shorter than some
const DIRECT: readonly Case[] = [
  ...cases([
    [1, 1, 1, 1, 4],
    [2, 3, 2, 2, 8],
    [1, 4, 4, 2, 12],
    [2, 5, 3, 1, 16],
    [1, 33, 4, 2, 32],
    [3, 67, 6, 3, 20],
    [1, 1, 1, 1, 4, 1],
    [2, 9, 2, 1, 8, 1],
    [1, 9, 2, 2, 4, 3],
    [2, 17, 4, 2, 8, 4],
    [1, 33, 4, 2, 8, 10],
    [3, 67, 6, 3, 4, 21],
    [1, 13, 2, 1, 8, 13],
    [1, 13, 2, 1, 8, 4096],
  ]),
  { B: 2, S: 19, H: 4, K: 2, D: 8, documents: [[1, 4, 7], [19]] },
  { B: 1, S: 33, H: 2, K: 1, D: 4, window: 5, documents: [[3, 12, 8]] },
];

// blocks of 16 rows and columns: 1, below, at and past them; depths that leave threads without a part of the sums, or with
// several; windows inside a block and across several; documents likewise
const SIMT: readonly Case[] = [
  ...cases([
    [1, 1, 1, 1, 16],
    [2, 5, 3, 1, 20],
    [1, 15, 2, 2, 32],
    [1, 16, 2, 1, 96],
    [2, 17, 4, 2, 64],
    [1, 33, 2, 1, 128],
    [3, 49, 4, 2, 16],
    [1, 35, 2, 1, 16, 1],
    [1, 67, 2, 1, 16, 20],
    [1, 35, 1, 1, 16, 4096],
  ]),
  { B: 2, S: 35, H: 2, K: 1, D: 16, documents: [[1, 15, 17], [35]] },
  { B: 1, S: 67, H: 1, K: 1, D: 16, window: 10, documents: [[20, 32, 3]] },
];
const SIMT_PROFILE: Partial<DeviceProfile> = { tier: 'simt' };
/** What a GPU with 16 KiB of workgroup memory takes: 32 rows and 64 columns. */
const GPU: Partial<DeviceProfile> = {
  tier: 'simt',
  software: false,
  limits: { maxComputeWorkgroupStorageSize: 16_384 } as DeviceProfile['limits'],
};

describe('attention direct', () => {
  test.each(DIRECT.map((one) => [caseName(one), one] as const))('%s', async (_, one) => {
    const inputs = inputsOf(one);
    const want = referenceOf(one, inputs);
    expectOutcome(await runCase({ tier: 'direct' }, one, inputs, want), want, F32);
  });
});

// llvmpipe compiles each of these for seconds, on a busy machine for a minute
describe('attention simt', { timeout: 300_000 }, () => {
  test.each(SIMT.map((one) => [caseName(one), one] as const))('%s', async (_, one) => {
    const inputs = inputsOf(one);
    const want = referenceOf(one, inputs);
    expectOutcome(await runCase(SIMT_PROFILE, one, inputs, want), want, F32);
  });

  test('the blocks of a GPU, past one of rows and one of columns', async () => {
    const one: Case = { B: 1, S: 71, H: 2, K: 1, D: 16, window: 66, documents: [[2, 69]] };
    const inputs = inputsOf(one);
    const want = referenceOf(one, inputs);
    expectOutcome(await runCase(GPU, one, inputs, want), want, F32);
    // the same pipelines again: those of another document are never touched
    expect(await runBesideNaN(GPU, 'f32')).toBe(64);
  });

  for (const given of GPU_CASES) {
    const one: Case = { ...given, maxWorkgroups: 7 };
    itHardware(`a GPU's blocks: ${caseName(one)}`, async () => {
      const inputs = inputsOf(one);
      const want = referenceOf(one, inputs);
      expectOutcome(await runCase(SIMT_PROFILE, one, inputs, want), want, F32);
    });
  }

  test('the same bits twice', async () => {
    const one: Case = { B: 1, S: 67, H: 4, K: 2, D: 16, documents: [[30]] };
    const inputs = inputsOf(one);
    const want = referenceOf(one, inputs);
    const [first, second] = [
      await runCase(SIMT_PROFILE, one, inputs, want),
      await runCase(SIMT_PROFILE, one, inputs, want),
    ];
    for (const name of ['o', 'lse', 'dq', 'dk', 'dv'] as const) expectSameBits(name, second[name], first[name]);
  });
});

describe.each(['direct', 'simt'] as const)('attention %s', { timeout: 300_000 }, (tier) => {
  test('blocks of another document are never touched', async () => {
    await runBesideNaN({ tier }, 'f32');
  });

  // what other documents hold must not matter: the second row is the first document alone
  test('a document in a packed row is what it is alone', async () => {
    const packed: Case = { B: 1, S: 40, H: 2, K: 1, D: 16, documents: [[25, 15]] };
    const alone: Case = { ...packed, S: 25, documents: [[25]] };
    const inputs = inputsOf(packed);
    const part = (x: Float32Array<ArrayBuffer>) => x.slice(0, (x.length / 40) * 25);
    const first = { q: part(inputs.q), k: part(inputs.k), v: part(inputs.v), dO: part(inputs.dO) };
    const [wantPacked, wantAlone] = [referenceOf(packed, inputs), referenceOf(alone, first)];
    const [got, want] = [
      await runCase({ tier }, packed, inputs, wantPacked),
      await runCase({ tier }, alone, first, wantAlone),
    ];
    for (const name of ['o', 'lse', 'dq', 'dk', 'dv'] as const)
      expectSameBits(name, got[name].slice(0, want[name].length), want[name]);
  });
});

describe('the tier that attention takes', () => {
  const nvidia = KNOWN_PROFILES.nvidia as DeviceProfile;
  const small = { ...nvidia, limits: { ...nvidia.limits, maxComputeWorkgroupStorageSize: 16_384 } };

  const both = (plan: object) => ({ forward: plan, backward: plan });
  const simtBlocks = (fwd: object, dkv = fwd) => ({ fwd, dq: fwd, dkv });

  test('is that of the profile', () => {
    const direct = { tier: 'direct' };
    expect(planAttention({ ...nvidia, tier: 'direct' }, 'f16', 64)).toMatchObject(both(direct));
    const simt = { tier: 'simt', blocks: simtBlocks({ BR: 64 }) };
    expect(planAttention({ ...nvidia, tier: 'simt' }, 'f16', 64)).toMatchObject(both(simt));
  });

  test('simt shares a row among more threads where the head dim is wide, and most in dk and dv', () => {
    const square = { BR: 64, BC: 64, DK: 16 };
    const wide = { BR: 32, BC: 128, DK: 16 };
    for (const [D, blocks] of [
      [64, simtBlocks({ ...square, VK: 32 })],
      [80, simtBlocks({ ...wide, VK: 32 })],
      [128, simtBlocks({ ...wide, VK: 16 })],
      [256, simtBlocks({ ...wide, VK: 8 }, { BR: 16, BC: 256, DK: 8, VK: 8 })],
    ] as const)
      expect(planAttention({ ...nvidia, tier: 'simt' }, 'f32', D)).toMatchObject(both({ tier: 'simt', blocks }));
  });

  test('or the next below, with the reason', () => {
    expect(planAttention(nvidia, 'f32', 64)).toMatchObject(
      both({ tier: 'simt', reason: 'no subgroup_matrix: compute_dtype is float32' }),
    );
    const large = planAttention({ ...nvidia, tier: 'simt' }, 'f32', 260);
    expect(large).toEqual(both({ tier: 'direct', reason: 'no simt: a head dim of 260 is above 256' }));
    const tiny = {
      ...small,
      tier: 'simt',
      limits: { ...small.limits, maxComputeInvocationsPerWorkgroup: 64 },
    } as const;
    expect(planAttention(tiny, 'f32', 64)).toMatchObject(
      both({ tier: 'direct', reason: expect.stringMatching(/allows 64 inv/) }),
    );
  });

  test('simt fits the 16 KiB that every device has, up to a head dim of 256', () => {
    for (const D of [4, 16, 64, 96, 128, 256])
      expect(planAttention({ ...small, tier: 'simt' }, 'f32', D)).toMatchObject(
        both({ tier: 'simt', blocks: simtBlocks({ BR: 32, BC: 64 }) }),
      );
  });
});

test('very large scores neither overflow nor vanish', async () => {
  const [S, D] = [9, 4];
  const shape = { B: 1, S, H: 1, K: 1, D, window: null, scale: 0.5 };
  const k = Float32Array.from({ length: S * D }, (_, i) => (Math.floor(i / D) % 3 === 1 ? -400 : 400));
  const q = new Float32Array(S * D).fill(10); // scores of plus and minus 8000
  const v = random(1).normal32(S * D);
  const bench = new Bench();
  const [o, lse] = [bench.output('o', [S, D]), bench.output('lse', [S, 1])];
  attentionFwd(bench.tape, {
    ...shape,
    Tq: S,
    Tk: S,
    q: bench.input('q', q),
    k: bench.input('k', k),
    v: bench.input('v', v),
    o,
    lse,
  });
  await bench.run();
  const want = attentionFwdRef(shape, q, k, v);
  expectClose('o', await bench.read(o), want.o, { rtol: 1e-6, atol: 1e-6 }); // scores are exact in f32
  expectClose('lse', await bench.read(lse), want.lse, { rtol: 1e-6, atol: 0 });
});

test('a window wider than the sequence changes no bit', async () => {
  const [B, S, H, K, D] = [2, 33, 4, 2, 16];
  const r = random(3);
  const [q, k, v] = [r.normal32(B * S * H * D), r.normal32(B * S * K * D), r.normal32(B * S * K * D)];
  const run = async (window: number | null) => {
    const bench = new Bench();
    const inputs = { q: bench.input('q', q), k: bench.input('k', k), v: bench.input('v', v) };
    const [o, lse] = [bench.output('o', [B * S, H * D]), bench.output('lse', [B * S, H])];
    attentionFwd(bench.tape, { B, Tq: S, Tk: S, H, K, D, window, scale: 0.25, ...inputs, o, lse });
    await bench.run();
    return bench.read(o);
  };
  expectSameBits('o', await run(4096), await run(null));
});

test('a head dim that 4 does not divide, heads that do not divide, and an empty window are refused', () => {
  const bench = new Bench();
  const x = bench.output('x', [64]);
  const call = { B: 1, Tq: 1, Tk: 1, H: 2, K: 1, D: 6, window: null, scale: 1, q: x, k: x, v: x, o: x, lse: x };
  expect(() => attentionFwd(bench.tape, call)).toThrow(/head dim 6 is not a multiple of 4/);
  expect(() => attentionFwd(bench.tape, { ...call, D: 8, K: 3 })).toThrow(/2 query heads do not divide among 3/);
  expect(() => attentionFwd(bench.tape, { ...call, D: 8, window: 0 })).toThrow(/a window of 0 hides every key/);
});

// one query and several; at the start, inside and at the end of what the cache holds; a window shorter and longer than that
describe.each([
  [1, 0, null],
  [1, 8, null],
  [1, 11, 5],
  [3, 4, null],
  [3, 9, 4],
  [4, 8, 100],
] as const)('%i queries at position %i, window %s', (Tq, first, window) => {
  test.each(['direct', 'simt'] as const)(
    '%s equals the rows of attention over the whole, from pages in any order',
    async (tier) => {
      const [B, H, K, D] = [2, 4, 2, 8];
      const paging = { pageTokens: 4, pagesPerRow: 3 };
      const Tk = paging.pageTokens * paging.pagesPerRow;
      // the second sequence is shorter, where it can be
      const firsts = [first, Math.max(0, first - 3)];
      const pages = [
        [4, 0, 6],
        [1, 5, 2],
      ];
      const S = first + Tq;
      const r = random(S);
      const [q, k, v] = [r.normal32(B * S * H * D), r.normal32(B * S * K * D), r.normal32(B * S * K * D)];
      const want = attentionFwdRef({ B, S, H, K, D, window, scale: 0.4 }, q, k, v);
      const bench = new Bench({ profile: { tier } });
      // behind the last token of a sequence the cache holds NaN, which may reach nothing
      const cached = (x: Float32Array) => {
        const all = new Float32Array(7 * paging.pageTokens * K * D).fill(Number.NaN);
        for (let b = 0; b < B; b++)
          for (let j = 0; j < (firsts[b] as number) + Tq; j++) {
            const page = pages[b]?.[Math.floor(j / paging.pageTokens)] as number;
            const from = (b * S + j) * K * D;
            all.set(x.subarray(from, from + K * D), (page * paging.pageTokens + (j % paging.pageTokens)) * K * D);
          }
        return all;
      };
      const last = (x: Vec, width: number) =>
        Float32Array.from({ length: B * Tq * width }, (_, i) => {
          const [row, b] = [Math.floor(i / width), Math.floor(i / width / Tq)];
          return x[(b * S + (firsts[b] as number) + (row % Tq)) * width + (i % width)] as number;
        });
      const [o, lse] = [bench.output('o', [B * Tq, H * D]), bench.output('lse', [B * Tq, H])];
      const ambient = sequencesAt(
        bench,
        firsts.map((at) => ({ first: at })),
        pages,
      );
      const rec = bench.machine.recorder(ambient);
      attentionFwd(rec, {
        B,
        Tq,
        Tk,
        paging,
        H,
        K,
        D,
        window,
        scale: 0.4,
        q: bench.input('q', last(q, H * D)),
        k: bench.input('k', cached(k)),
        v: bench.input('v', cached(v)),
        o,
        lse,
      });
      await bench.machine.runOnce({ name: 'decode', commands: rec.commands });
      expectClose('o', await bench.read(o), last(want.o, H * D), F32.o);
      expectClose('lse', await bench.read(lse), last(want.lse, H), F32.lse);
    },
  );
});

test('lengths that differ need pages, pages need the phase to have a cursor, and no backward has one', () => {
  const bench = new Bench({ spare: ['q', 'k', 'v', 'o', 'lse'] });
  const [q, k, v, o, lse] = ['q', 'k', 'v', 'o', 'lse'].map((label) => bench.output(label, [64])) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const call = { B: 1, Tq: 1, Tk: 4, H: 1, K: 1, D: 8, window: null, scale: 1, q, k, v, o, lse };
  expect(() => attentionFwd(bench.tape, call)).toThrow(/1 queries do not go with 4 keys of a row/);
  const paging = { pageTokens: 4, pagesPerRow: 1 };
  expect(() => attentionFwd(bench.tape, { ...call, Tq: 5, paging })).toThrow(/5 queries at the cursor do not go/);
  expect(() => attentionFwd(bench.tape, { ...call, paging })).toThrow(/buffer names: missing.*cursor/);
  const grads = { dO: q, delta: q, dq: q, dk: k, dv: v };
  expect(() => attentionBwd(bench.tape, { ...call, ...grads, paging })).toThrow(/reads no cache/);
  const odd = { pageTokens: 6, pagesPerRow: 1 };
  expect(() => attentionFwd(bench.tape, { ...call, paging: odd })).toThrow(/pages of 6 tokens are no multiples of 4/);
});
