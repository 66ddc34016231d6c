import { describe, expect, test } from 'vitest';
import { type DeviceProfile, KNOWN_PROFILES, type MatrixConfig } from '../../src/gpu/device-profile.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import { defaultMatrixTile, matrixKind } from '../../src/kernels/matmul-subgroup-matrix.ts';
import { expectRoundedToHalf } from '../gpu/float16.ts';
import { device } from '../gpu/harness.ts';
import { itGpuMatrix, itSubgroupMatrix } from '../gpu/subgroup-matrices.ts';
import { type Case, exactHalves, expectSums, extents, JOINED, type Op, runCase, runWithNaN } from './matmul-cases.ts';

/** Two subgroups, of two matrices and one: with the 8 x 8 of lavapipe a tile of 16 x 16, which compiles in reasonable time. */
const tile = { subgroupRows: 1, subgroupCols: 2, matrixRows: 2, matrixCols: 1, BK: 16, stages: 1 };
/** Shares of the lanes that are no whole number, and rounds that end before the depth does. */
const ahead: Partial<DeviceProfile> = {
  tier: 'subgroup_matrix',
  tiles: { matrix: { ...tile, subgroupCols: 3, stages: 2 }, matrixSmall: { ...tile, subgroupCols: 3, stages: 2 } },
};
const profile: Partial<DeviceProfile> = { tier: 'subgroup_matrix', tiles: { matrix: tile, matrixSmall: tile } };
const simt: Partial<DeviceProfile> = {
  tier: 'simt',
  tiles: { simtF16: { BM: 16, BN: 16, BK: 8, TM: 4, TN: 4 } },
};
const OPS: readonly Op[] = ['nt', 'nn'];
/** Rows, columns, depth: 1; below, at and past a tile and the depth staged at a time; no multiple of anything. */
const SIZES = [
  [1, 1, 1],
  [3, 5, 7],
  [15, 12, 8],
  [16, 16, 16],
  [17, 20, 20],
  [33, 31, 20],
  [64, 48, 64],
  [66, 37, 130],
] as const;
const sizesOf = (op: Op, [r, c, depth]: readonly [number, number, number]): [number, number, number] =>
  op === 'nt' ? [r, c, depth] : [r, depth, c];

const bitsOf = ({ got }: { got: Float32Array }): Uint32Array => new Uint32Array(got.buffer, got.byteOffset, got.length);

describe('matmul subgroup_matrix', () => {
  for (const op of OPS) {
    for (const size of SIZES) {
      const sizes = sizesOf(op, size);
      for (const accumulate of [false, true]) {
        itSubgroupMatrix(`${op} ${sizes.join('x')} accumulate=${accumulate}`, async () => {
          const outcome = await runCase(profile, { op, sizes, half: true, accumulate, maxWorkgroups: 7 });
          expectSums(outcome);
          expect(outcome.flags).toBe(0);
        });
      }
    }
    for (const around of [
      [4, 8],
      [3, 2],
    ] as const) {
      itSubgroupMatrix(`${op}, a band between ${around.join(' and ')} columns, scaled and added`, async () => {
        const one: Case = { op, sizes: sizesOf(op, [18, 20, 24]), half: true, around, accumulate: true, scale: 1.5 };
        expectSums(await runCase(profile, one));
      });
    }
    // whole tiles, and some that reach past an end; y is stored to, and added to, as matrices
    for (const [size, tiles] of [
      [[64, 48, 64], ahead],
      [[40, 40, 40], profile],
    ] as const) {
      const name = `${op} ${sizesOf(op, size).join('x')}`;
      const one: Case = { op, sizes: sizesOf(op, size), half: true, rank: 8, scale: 1, maxWorkgroups: 7 };
      itSubgroupMatrix(`${name}, sums that begin with y`, async () => {
        for (const accumulate of [false, true]) expectSums(await runCase(tiles, { ...one, accumulate }));
      });
      itSubgroupMatrix(`${name}, x in f16: the bits of f32`, async () => {
        const outcome = await runCase(tiles, { ...one, halfInput: true, scratch: true });
        expectSums(outcome);
        expect(outcome.flags).toBe(0);
        expect(bitsOf(outcome)).toEqual(bitsOf(await runCase(tiles, one)));
      });
      itSubgroupMatrix(`${name}, w turned as it is staged: the same bits`, async () => {
        const subgroupMatrix = { ...(device.profile.subgroupMatrix as MatrixConfig), turned: true };
        const outcome = await runCase({ ...tiles, subgroupMatrix }, one);
        expectSums(outcome);
        expect(bitsOf(outcome)).toEqual(bitsOf(await runCase(tiles, one)));
      });
    }
    itSubgroupMatrix(`${op} of x in f16 whose rows no vectors divide`, async () => {
      for (const size of [
        [18, 19, 21],
        [17, 20, 20],
      ] as const)
        expectSums(await runCase(profile, { op, sizes: sizesOf(op, size), half: true, halfInput: true, rank: 3 }));
    });
    // inside of a tile, past its edges, in a band, with the terms that a layer's product has
    for (const [size, around] of [
      [[64, 48, 64], undefined],
      [[18, 20, 21], op === 'nt' ? ([4, 8] as const) : undefined],
    ] as const) {
      itSubgroupMatrix(`${op} ${sizesOf(op, size).join('x')}, y in f16: f32's y rounded once`, async () => {
        for (const rank of [0, 8]) {
          const one: Case = { op, sizes: sizesOf(op, size), half: true, rank, bias: op === 'nt' && rank > 0 };
          const placed = { ...one, ...(around && { around }), maxWorkgroups: 7 };
          const { got, flags } = await runCase(ahead, { ...placed, halfOutput: true });
          const single = await runCase(ahead, placed);
          single.got.forEach((value, i) => {
            expectRoundedToHalf(`[${i}]`, got[i] as number, value);
          });
          expect([got.length, flags]).toEqual([single.got.length, 0]);
        }
      });
    }
    for (const [what, terms, flag] of [
      ['the largest f16 number is held', [40_000, 25_504], 0],
      ['the next in f32 is flagged', [40_000, 25_504, 2 ** -8], FLAG.input],
      ['NaN is flagged', [Number.NaN], FLAG.input],
    ] as const) {
      itSubgroupMatrix(`${op}, sums to f16: ${what}`, async () => {
        const one: Case = { op, sizes: sizesOf(op, [18, 20, 24]), half: true, halfInput: true, scale: 1 };
        const size = extents(one);
        const first = new Float32Array(size.first);
        first.set(terms);
        const given = { first, second: new Float32Array(size.second).fill(1) };
        expect((await runCase(profile, { ...one, halfOutput: true }, given)).flags).toBe(flag);
      });
    }
    for (const [size, rank] of JOINED) {
      itSubgroupMatrix(`${op} ${sizesOf(op, size).join('x')} with a term of rank ${rank}`, async () => {
        const one: Case = { op, sizes: sizesOf(op, size), half: true, rank, bias: op === 'nt', accumulate: true };
        const outcome = await runCase(profile, { ...one, maxWorkgroups: 7 });
        expectSums(outcome);
        expect(outcome.flags).toBe(0);
      });
    }
    for (const [r, c, depth] of [
      [1, 1, 1],
      [17, 20, 20],
      [33, 31, 130],
      [64, 48, 64],
    ] as const) {
      itSubgroupMatrix(`${op} ${sizesOf(op, [r, c, depth]).join('x')} loaded ahead, the same bits`, async () => {
        const one: Case = { op, sizes: sizesOf(op, [r, c, depth]), half: true, rank: 8, accumulate: true };
        const outcome = await runCase(ahead, { ...one, maxWorkgroups: 7 });
        expectSums(outcome);
        expect(outcome.flags).toBe(0);
        const { got } = await runCase(profile, one);
        expect(Buffer.from(outcome.got.buffer).equals(Buffer.from(got.buffer))).toBe(true);
      });
    }
    itSubgroupMatrix(`${op} keeps a NaN in its row and column`, async () => {
      for (const size of [
        [18, 20, 24],
        [18, 19, 21],
      ] as const)
        await runWithNaN(profile, { op, sizes: sizesOf(op, size), half: true });
    });
    itSubgroupMatrix(`${op} gives the same bits twice, and simt's within f32 rounding`, async () => {
      const one: Case = { op, sizes: sizesOf(op, [33, 31, 130]), half: true };
      const [first, second, other] = [
        await runCase(profile, one),
        await runCase(profile, one),
        await runCase(simt, one),
      ];
      expect(Buffer.from(first.got.buffer).equals(Buffer.from(second.got.buffer))).toBe(true);
      expectSums({ ...first, want: Float64Array.from(other.got) });
    });
    for (const [what, value, input, weight] of [
      ['the largest f16 number', 65504, 0, 0],
      ['a value past it', 65505, FLAG.input, 0],
      ['infinity', Number.NEGATIVE_INFINITY, FLAG.input, FLAG.weight],
      ['NaN', Number.NaN, FLAG.input, FLAG.weight],
    ] as const) {
      itSubgroupMatrix(`${op} flags ${what} among its operands`, async () => {
        for (const sizes of [sizesOf(op, [18, 20, 24]), sizesOf(op, [18, 19, 21])]) {
          const one: Case = { op, sizes, half: true };
          const size = extents(one);
          const bad = { first: exactHalves(1, size.first), second: exactHalves(2, size.second) };
          bad.first[size.first - 1] = value;
          expect((await runCase(profile, one, bad)).flags).toBe(input);
          const badWeight = { first: exactHalves(1, size.first), second: exactHalves(2, size.second) };
          badWeight.second[size.second - 1] = value;
          expect((await runCase(profile, one, badWeight)).flags).toBe(weight);
          // x in f16 was watched where it was rounded; a scratch of w by the kernel that makes it
          expect((await runCase(profile, { ...one, halfInput: true }, badWeight)).flags).toBe(weight);
          expect((await runCase(profile, { ...one, scratch: true }, badWeight)).flags).toBe(weight);
          bad.first[size.first - 1] = -value;
          expect((await runCase(profile, one, bad)).flags).toBe(input);
        }
      });
    }
  }

  for (const [name, kind] of [
    ['default', 'matrix'],
    ['small default', 'matrixSmall'],
  ] as const)
    for (const op of OPS) {
      // past two of its tiles; by vectors, and by none
      for (const size of [
        [130, 72, 68],
        [130, 67, 69],
      ] as const) {
        for (const rank of [0, 16]) {
          const one: Case = { op, sizes: sizesOf(op, size), half: true, rank, bias: op === 'nt' && rank > 0 };
          itGpuMatrix(`the ${name} tile, ${op} ${one.sizes.join('x')} with a term of rank ${rank}`, async () => {
            const usual = defaultMatrixTile(device.profile, kind);
            const tiles = { matrix: usual, matrixSmall: usual };
            const outcome = await runCase({ ...profile, tiles }, { ...one, accumulate: true, maxWorkgroups: 5 });
            expectSums(outcome);
            expect(outcome.flags).toBe(0);
          });
        }
      }
    }

  itSubgroupMatrix('takes the small tile for a small product and the other for a large one', async () => {
    const tiles = { matrix: { ...tile, subgroupRows: 2 }, matrixSmall: tile };
    const of = (M: number, N: number) => matrixKind({ ...device.profile, tiles }, { M, N });
    const rows = 130 * 4 * (device.profile.subgroupMatrix?.M ?? 0); // 130 of its tiles
    expect([of(17, 9), of(rows, 9)]).toEqual(['matrixSmall', 'matrix']);
    for (const M of [17, rows])
      expectSums(await runCase({ ...profile, tiles }, { op: 'nt', sizes: [M, 9, 12], half: true }));
  });

  itSubgroupMatrix("an f32 weight, and a weight's gradient, go by simt", async () => {
    expectSums(await runCase({ ...profile, tiles: simt.tiles ?? {} }, { op: 'tn', sizes: [20, 9, 12] }));
  });
});

test('a product that the large tile would make too few workgroups of takes the small one', () => {
  const nvidia = KNOWN_PROFILES.nvidia as DeviceProfile; // 128 x 128
  const square = { subgroupRows: 2, subgroupCols: 2, matrixRows: 2, matrixCols: 2, BK: 32, stages: 1 }; // 64 x 64
  const wide = { subgroupRows: 2, subgroupCols: 4, matrixRows: 4, matrixCols: 4, BK: 32, stages: 1 }; // 128 x 256
  const kind = (M: number, N: number, tiles: DeviceProfile['tiles'] = {}) => matrixKind({ ...nvidia, tiles }, { M, N });
  const kinds = (M: number, N: number) => [square, wide].map((matrix) => kind(M, N, { matrix }));
  expect([kind(4096, 11008), kind(4096, 512), kind(4096, 384)]).toEqual(['matrix', 'matrix', 'matrixSmall']);
  expect(kinds(4096, 11008)).toEqual(['matrix', 'matrix']);
  expect(kinds(4096, 192)).toEqual(['matrix', 'matrixSmall']); // SmolLM2's k and v: 192 workgroups, and 32
  expect(kinds(4096, 1024)).toEqual(['matrix', 'matrix']); // 128 of the wide one
  expect(kinds(4096, 768)).toEqual(['matrix', 'matrixSmall']);
  expect(kinds(512, 576)).toEqual(['matrixSmall', 'matrixSmall']);
});

test('the default tile is the largest that a device has room for, by the size of its matrices', () => {
  const nvidia = KNOWN_PROFILES.nvidia as DeviceProfile;
  const of = (changes: Partial<DeviceProfile>, kind: 'matrix' | 'matrixSmall' = 'matrix') => {
    const { subgroupRows, subgroupCols, matrixRows, matrixCols, BK, stages } = defaultMatrixTile(
      { ...nvidia, ...changes },
      kind,
    );
    return `${subgroupRows}x${subgroupCols} of ${matrixRows}x${matrixCols}, ${BK} deep, ${stages}`;
  };
  const room = (maxComputeWorkgroupStorageSize: number): Partial<DeviceProfile> => ({
    limits: { ...nvidia.limits, maxComputeWorkgroupStorageSize },
  });
  const eights = { M: 8, N: 8, K: 8, subgroupSize: 32, sized: false };
  expect([of({}), of({}, 'matrixSmall')]).toEqual(['2x4 of 4x2, 32 deep, 2', '2x2 of 2x2, 32 deep, 2']);
  expect([of(room(40960)), of(room(40959))]).toEqual(['2x4 of 4x2, 32 deep, 2', '2x2 of 2x2, 32 deep, 2']);
  expect(of(room(16384))).toBe('2x2 of 2x2, 32 deep, 1');
  expect(of({ limits: { ...nvidia.limits, maxComputeInvocationsPerWorkgroup: 255 } })).toBe('2x2 of 2x2, 32 deep, 2');
  expect(of({ subgroupMatrix: eights })).toBe('2x4 of 8x4, 32 deep, 2');
  expect(of({ subgroupMatrix: { ...eights, N: 16, K: 16 } })).toBe('2x4 of 8x2, 32 deep, 2');
  expect(of({ subgroupMatrix: eights, software: true })).toBe('1x2 of 2x1, 16 deep, 1');
});
