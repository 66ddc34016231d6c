/** Decoding attention of the GPU tiers against the f64 loop: every edge of pages, windows, rounds and parts. */
import { describe, expect, test } from 'vitest';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { attentionFwd } from '../../src/kernels/attention.ts';
import { planDecode } from '../../src/kernels/attention-decode.ts';
import { Bench, sequencesAt } from '../gpu/harness.ts';
import { attentionFwdRef } from '../ref/attention.ts';
import { expectClose, expectSameBits, random } from '../ref/compare.ts';
import { F32 } from './attention-cases.ts';

type Case = {
  readonly H: number;
  readonly K: number;
  readonly D: number;
  readonly window?: number | null;
  /** Where the query of each sequence stands: its keys are one more. */
  readonly at: readonly number[];
  /** Most keys of a sequence, by which its parts are cut. */
  readonly most: number;
  readonly pageTokens?: number;
};

const BEHIND = 3; // pages that belong to nobody

/** Runs one query of each sequence, whose pages lie in a shuffled order with NaN behind the last token. */
async function decode({ H, K, D, window = null, at, most, pageTokens = 16 }: Case) {
  const B = at.length;
  const S = Math.max(...at) + 1;
  const pagesPerRow = Math.ceil(most / pageTokens);
  const r = random(S * D + H);
  const [q, k, v] = [r.normal32(B * H * D, 2), r.normal32(B * S * K * D, 2), r.normal32(B * S * K * D)];
  // the query of a sequence is its last row; rows before it and sequences behind it have none
  const whole = new Float32Array(B * S * H * D);
  at.forEach((s, b) => {
    whole.set(q.subarray(b * H * D, (b + 1) * H * D), (b * S + s) * H * D);
  });
  const scale = 0.9 / Math.sqrt(D);
  const want = attentionFwdRef({ B, S, H, K, D, window, scale }, whole, k, v);
  const total = B * pagesPerRow + BEHIND;
  const hash = (i: number) => (i * 7919) % 1009; // a prime above every count: no two are alike
  const order = Array.from({ length: total }, (_, i) => i).sort((a, b) => hash(a) - hash(b));
  const pages = at.map((_, b) => order.slice(b * pagesPerRow, (b + 1) * pagesPerRow));
  const cached = (x: Float32Array) => {
    const all = new Float32Array(total * pageTokens * K * D).fill(Number.NaN);
    at.forEach((s, b) => {
      for (let j = 0; j <= s; j++) {
        const page = pages[b]?.[Math.floor(j / pageTokens)] as number;
        const row = x.subarray((b * S + j) * K * D, (b * S + j + 1) * K * D);
        all.set(row, (page * pageTokens + (j % pageTokens)) * K * D);
      }
    });
    return all;
  };
  const bench = new Bench({ profile: { tier: 'simt' }, maxWorkgroups: 7 });
  const ambient = sequencesAt(
    bench,
    at.map((first) => ({ first })),
    pages,
  );
  const rec = bench.machine.recorder(ambient);
  const [o, lse] = [bench.output('o', [B, H * D]), bench.output('lse', [B, H])];
  const paging = { pageTokens, pagesPerRow };
  const shape = { B, Tq: 1, Tk: pagesPerRow * pageTokens, paging, H, K, D, window, scale };
  const tensors = { q: bench.input('q', q), k: bench.input('k', cached(k)), v: bench.input('v', cached(v)), o, lse };
  attentionFwd(rec, { ...shape, ...tensors });
  await bench.machine.runOnce({ name: 'decode', commands: rec.commands });
  const last = (x: Float64Array, width: number) =>
    at.flatMap((s, b) => [...x.subarray((b * S + s) * width, (b * S + s + 1) * width)]);
  return {
    plan: planDecode(bench.machine.profile, shape),
    got: { o: await bench.read(o), lse: await bench.read(lse) },
    want: { o: last(want.o, H * D), lse: last(want.lse, H) },
    kernels: rec.commands.map((command) => (command.kind === 'dispatch' ? command.kernel.spec.name : command.kind)),
  };
}

async function check(one: Case) {
  const run = await decode(one);
  expectClose('o', run.got.o, run.want.o, F32.o);
  expectClose('lse', run.got.lse, run.want.lse, F32.lse);
  expect(run.kernels[0]).toBe('attention_decode');
  return run;
}

/** One key; around a run, a page and a round of 256 keys; several parts of one round and of more; sequences that differ. */
const LENGTHS: readonly Case[] = [
  { H: 2, K: 2, D: 16, at: [0, 3, 4, 15, 16, 17], most: 32 },
  { H: 2, K: 2, D: 16, at: [255, 256, 511, 0], most: 512 },
  { H: 2, K: 2, D: 16, at: [1023, 700, 30], most: 1024 },
  { H: 1, K: 1, D: 16, at: [40], most: 48, pageTokens: 4 },
];

/** Heads that share keys: all, some, an odd number, more than a workgroup takes. */
const HEADS: readonly Case[] = [
  { H: 3, K: 1, D: 16, at: [66, 64], most: 80 },
  { H: 8, K: 2, D: 16, at: [130], most: 144 },
  { H: 7, K: 1, D: 16, at: [67, 33], most: 80 },
  { H: 16, K: 2, D: 16, at: [95], most: 96 },
  { H: 18, K: 1, D: 16, at: [50], most: 64 },
];

/** Head dims of every supported architecture and odd ones: lanes without a part of a key, or with several. */
const DIMS: readonly Case[] = [20, 64, 96, 128, 256].map((D) => ({ H: 2, K: 1, D, at: [140, 17], most: 144 }));

/** A window of one key, within a page, over pages, that begins beside a four, as long as the text, and longer. */
const WINDOWS: readonly Case[] = [1, 5, 33, 130, 4096].map((window) => ({
  H: 2,
  K: 1,
  D: 16,
  window,
  at: [200, 3, 32],
  most: 208,
}));

const named = (cases: readonly Case[]) => cases.map((one) => [JSON.stringify(one), one] as const);

describe('from pages in any order', { timeout: 300_000 }, () => {
  test.each(named(LENGTHS))('lengths: %s', async (_, one) => {
    await check(one);
  });
  test.each(named(HEADS))('shared heads: %s', async (_, one) => {
    await check(one);
  });
  test.each(named(DIMS))('head dims: %s', async (_, one) => {
    await check(one);
  });
  test.each(named(WINDOWS))('windows: %s', async (_, one) => {
    await check(one);
  });

  test('cut into parts or not, and the same bits twice', async () => {
    const cut = await check({ H: 2, K: 2, D: 16, at: [600], most: 1024 });
    expect(cut.plan).toMatchObject({ chunk: 256, splits: 4 });
    expect(cut.kernels).toEqual(['attention_decode', 'attention_combine']);
    expectSameBits('o', (await decode({ H: 2, K: 2, D: 16, at: [600], most: 1024 })).got.o, cut.got.o);
    // a window bounds the keys, and so the parts
    const one = await check({ H: 2, K: 2, D: 16, window: 200, at: [600], most: 1024 });
    expect(one.kernels).toEqual(['attention_decode']);
  });
});

test('how it is cut: a workgroup for each head of keys, parts where those are few', () => {
  const nvidia = { ...(KNOWN_PROFILES.nvidia as DeviceProfile), tier: 'simt' } as const;
  const shape = { B: 1, Tq: 1, Tk: 4096, H: 32, K: 32, D: 128, window: null };
  expect(planDecode(nvidia, shape)).toEqual({ heads: 1, chunk: 256, team: 128, splits: 16 });
  expect(planDecode(nvidia, { ...shape, B: 8 })).toMatchObject({ splits: 4 });
  expect(planDecode(nvidia, { ...shape, K: 8 })).toEqual({ heads: 4, chunk: 64, team: 32, splits: 32 });
  expect(planDecode(nvidia, { ...shape, K: 4 })).toMatchObject({ heads: 8, chunk: 32, team: 16 });
  expect(planDecode(nvidia, { ...shape, H: 28, K: 4 })).toMatchObject({ heads: 7 });
  // its queries would not fit the memory that every device has
  expect(planDecode(nvidia, { ...shape, K: 4, D: 256 })).toMatchObject({ heads: 4 });
  const few = (limit: object) => ({ limits: { ...nvidia.limits, ...limit } });
  for (const H of [1, 2, 4, 8])
    for (const D of [64, 128, 256])
      expect(planDecode(few({ maxComputeWorkgroupStorageSize: 16_384 }), { ...shape, H, K: 1, D })).toBeTypeOf(
        'object',
      );
  expect(planDecode(nvidia, { ...shape, D: 516 })).toBe('a head dim of 516 is above 512');
  expect(planDecode(few({ maxComputeInvocationsPerWorkgroup: 64 }), shape)).toBe(
    'it allows 64 invocations per workgroup',
  );
});
