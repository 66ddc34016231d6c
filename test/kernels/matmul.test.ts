import { describe, expect, it } from 'vitest';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { DEFAULT_SIMT_TILE, planSimt } from '../../src/kernels/matmul-simt.ts';
import { type Case, expectSums, JOINED, OPS, PROFILES, runCase, runWithNaN, SIZES, sizesOf } from './matmul-cases.ts';

for (const [name, profile] of Object.entries(PROFILES)) {
  describe(`matmul ${name}`, () => {
    const itHolds = (what: string, one: Case) =>
      it(what, async () => {
        const outcome = await runCase(profile, { maxWorkgroups: 7, ...one });
        expectSums(outcome);
        expect(outcome.flags).toBe(0);
      });
    for (const op of OPS) {
      for (const size of SIZES) {
        const sizes = sizesOf(op, size);
        for (const accumulate of [false, true]) {
          itHolds(`${op} ${sizes.join('x')} accumulate=${accumulate}`, { op, sizes, accumulate });
        }
      }
      // by vectors and one by one; next to each other in a wider matrix, whose other columns stay
      for (const around of [
        [4, 8],
        [3, 2],
      ] as const) {
        for (const accumulate of [false, true]) {
          const sizes = sizesOf(op, [18, 20, 24]);
          itHolds(`${op}, a band between ${around.join(' and ')} columns, accumulate=${accumulate}`, {
            op,
            sizes,
            around,
            accumulate,
            scale: 1.5,
          });
        }
        const deep = sizesOf(op, [18, 16, 260]);
        itHolds(`${op}, a band of a split product between ${around.join(' and ')} columns`, {
          op,
          sizes: deep,
          around,
          accumulate: true,
        });
      }
    }

    for (const op of ['nt', 'nn'] as const) {
      for (const [size, rank] of JOINED) {
        for (const accumulate of [false, true]) {
          const sizes = sizesOf(op, size);
          const bias = op === 'nt';
          itHolds(`${op} ${sizes.join('x')} with a term of rank ${rank}, accumulate=${accumulate}`, {
            op,
            sizes,
            rank,
            bias,
            accumulate,
          });
        }
      }
    }
    for (const size of [
      [5, 9, 12],
      [20, 18, 300],
    ] as const) {
      itHolds(`nt ${size.join('x')} with a bias, in a band`, {
        op: 'nt',
        sizes: [...size],
        bias: true,
        around: [3, 2],
      });
    }

    it('keeps a NaN in its row and column', async () => {
      for (const op of OPS) {
        for (const size of [
          [18, 20, 20],
          [18, 19, 21],
        ] as const)
          await runWithNaN(profile, { op, sizes: sizesOf(op, size) });
      }
    });

    it('gives the same bits twice', async () => {
      for (const op of OPS) {
        const one: Case = { op, sizes: sizesOf(op, [33, 31, 300]), accumulate: true };
        const [first, second] = [await runCase(profile, one), await runCase(profile, one)];
        expect(Buffer.from(first.got.buffer).equals(Buffer.from(second.got.buffer))).toBe(true);
      }
    });
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
      planSimt(profile, { M: 4096, N: 16, K: 4096, b }),
      planSimt(profile, { M: 16, N: 4096, K: 4096, b }),
    ];
    for (const plan of [xA, dA]) {
      expect(plan.slices).toBe(16);
      expect(plan.depth * plan.slices).toBe(4096);
    }
    expect(planSimt(profile, { M: 4096, N: 11008, K: 4096, b })).toEqual({
      tile: DEFAULT_SIMT_TILE,
      slices: 1,
      depth: 4096,
    });
  });

  it('never into an empty slice', () => {
    for (const K of [1, 127, 128, 255, 256, 257, 300, 1000, 4099, 70000]) {
      const { slices, depth, tile } = planSimt(profile, { M: 8, N: 8, K, b });
      expect((slices - 1) * depth).toBeLessThan(K);
      expect(slices * depth).toBeGreaterThanOrEqual(K);
      expect(depth % tile.BK).toBe(0);
    }
  });
});
