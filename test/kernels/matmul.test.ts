import { describe, expect, it } from 'vitest';
import type { DeviceProfile } from '../../src/gpu/device-profile.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import { DEFAULT_SIMT_TILE, planSimt } from '../../src/kernels/matmul-simt.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { type Case, exactHalves, expectSums, extents, OPS, type Op, runCase } from './matmul-cases.ts';

/** Small tiles, so that small sizes are past one; a software driver compiles them several times faster, too. */
const SQUARE = { BM: 16, BN: 16, BK: 8, TM: 4, TN: 4 };
const OBLONG = { BM: 32, BN: 16, BK: 4, TM: 8, TN: 4 };

const PROFILES: Record<string, Partial<DeviceProfile>> = {
  direct: { tier: 'direct' },
  simt: { tier: 'simt', tiles: { simt: SQUARE, simtF16: SQUARE } },
  'simt 8x4': { tier: 'simt', tiles: { simt: OBLONG, simtF16: OBLONG } },
};

/** 1; below, at and past the tiles of 4, 16 and 32; no multiple of anything; deep enough to be split. */
const SIZES = [
  [1, 1, 1],
  [3, 5, 7],
  [4, 4, 4],
  [5, 9, 12],
  [15, 17, 8],
  [16, 32, 16],
  [33, 31, 20],
  [66, 37, 130],
  [20, 18, 300],
] as const;

/** The sizes as the depth of each product comes last. */
const sizesOf = (op: Op, [a, b, depth]: readonly [number, number, number]): [number, number, number] =>
  op === 'nt' ? [a, b, depth] : op === 'nn' ? [a, depth, b] : [depth, a, b];

for (const [name, profile] of Object.entries(PROFILES)) {
  describe(`matmul ${name}`, () => {
    const itHolds = (test: typeof it | typeof itFloat16, what: string, one: Case) =>
      test(what, async () => {
        const outcome = await runCase(profile, { maxWorkgroups: 7, ...one });
        expectSums(outcome);
        expect(outcome.flags).toBe(0);
      });
    for (const op of OPS) {
      for (const size of SIZES) {
        const sizes = sizesOf(op, size);
        for (const accumulate of [false, true]) {
          itHolds(it, `${op} ${sizes.join('x')} accumulate=${accumulate}`, { op, sizes, accumulate });
        }
        if (op !== 'tn') itHolds(itFloat16, `${op} ${sizes.join('x')} with w in f16`, { op, sizes, half: true });
      }
      // by vectors and one by one; next to each other in a wider matrix, whose other columns stay
      for (const around of [
        [4, 8],
        [3, 2],
      ] as const) {
        for (const accumulate of [false, true]) {
          const sizes = sizesOf(op, [18, 20, 24]);
          itHolds(it, `${op}, a band between ${around.join(' and ')} columns, accumulate=${accumulate}`, {
            ...{ op, sizes, around, accumulate, scale: 1.5 },
          });
        }
        const deep = sizesOf(op, [18, 16, 260]);
        itHolds(it, `${op}, a band of a split product between ${around.join(' and ')} columns`, {
          ...{ op, sizes: deep, around, accumulate: true },
        });
      }
    }

    it('gives the same bits twice', async () => {
      for (const op of OPS) {
        const one: Case = { op, sizes: sizesOf(op, [33, 31, 300]), accumulate: true };
        const [first, second] = [await runCase(profile, one), await runCase(profile, one)];
        expect(Buffer.from(first.got.buffer).equals(Buffer.from(second.got.buffer))).toBe(true);
      }
    });

    for (const op of ['nt', 'nn'] as const) {
      for (const [what, value, input, weight] of [
        ['the largest f16 number', 65504, 0, 0],
        ['a value past it', 65505, FLAG.input, 0],
        ['its negative', -70000, FLAG.input, FLAG.weight],
        ['infinity', Number.POSITIVE_INFINITY, FLAG.input, FLAG.weight],
        ['NaN', Number.NaN, FLAG.input, FLAG.weight],
      ] as const) {
        itFloat16(`${op} flags ${what} among its float16 operands`, async () => {
          for (const sizes of [sizesOf(op, [18, 20, 24]), sizesOf(op, [18, 19, 21]), sizesOf(op, [18, 16, 256])]) {
            const one: Case = { op, sizes, half: true };
            const size = extents(one);
            const operands = () => ({ first: exactHalves(1, size.first), second: exactHalves(2, size.second) });
            const bad = operands();
            bad.first[size.first - 1] = value;
            expect((await runCase(profile, one, bad)).flags).toBe(input);
            const badWeight = operands();
            badWeight.second[size.second - 1] = value;
            expect((await runCase(profile, one, badWeight)).flags).toBe(weight);
          }
        });
      }
    }
  });
}

describe('the default tiles of simt', () => {
  for (const op of OPS) {
    // a tile and a bit; thin both ways
    for (const size of [
      [66, 70, 20],
      [70, 16, 300],
      [8, 66, 300],
    ] as const) {
      const sizes = sizesOf(op, size);
      it(`${op} ${sizes.join('x')}`, async () => {
        expectSums(await runCase({ tier: 'simt', tiles: {} }, { op, sizes }));
      });
    }
  }
});

describe('how simt is split', () => {
  const profile = KNOWN_PROFILES.nvidia as DeviceProfile;
  const b = { tensor: { dtype: 'f32' } } as Parameters<typeof planSimt>[1]['b'];

  it('LoRA shapes of a 7B model along their depth, whole products not', () => {
    const [xA, dA] = [
      planSimt(profile, { R: 4096, C: 16, D: 4096, b }),
      planSimt(profile, { R: 16, C: 4096, D: 4096, b }),
    ];
    for (const plan of [xA, dA]) {
      expect(plan.slices).toBe(4);
      expect(plan.depth * plan.slices).toBe(4096);
    }
    expect(planSimt(profile, { R: 4096, C: 11008, D: 4096, b })).toEqual({
      tile: DEFAULT_SIMT_TILE,
      slices: 1,
      depth: 4096,
    });
  });

  it('never into an empty slice', () => {
    for (const D of [1, 127, 128, 255, 256, 257, 300, 1000, 4099, 70000]) {
      const { slices, depth, tile } = planSimt(profile, { R: 8, C: 8, D, b });
      expect((slices - 1) * depth).toBeLessThan(D);
      expect(slices * depth).toBeGreaterThanOrEqual(D);
      expect(depth % tile.BK).toBe(0);
    }
  });
});
