import { describe, expect, test } from 'vitest';
import type { DeviceProfile, MatrixConfig } from '../../src/gpu/device-profile.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import {
  DEFAULT_MATRIX_TILE,
  DEFAULT_SMALL_MATRIX_TILE,
  matrixKind,
} from '../../src/kernels/matmul-subgroup-matrix.ts';
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
        }
      });
    }
  }

  for (const [name, usual] of Object.entries({
    default: DEFAULT_MATRIX_TILE,
    'small default': DEFAULT_SMALL_MATRIX_TILE,
  }))
    for (const op of OPS) {
      // past two of its tiles; by vectors, and by none
      for (const size of [
        [130, 72, 68],
        [130, 67, 69],
      ] as const) {
        for (const rank of [0, 16]) {
          const one: Case = { op, sizes: sizesOf(op, size), half: true, rank, bias: op === 'nt' && rank > 0 };
          itGpuMatrix(`the ${name} tile, ${op} ${one.sizes.join('x')} with a term of rank ${rank}`, async () => {
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
    const of = (R: number, C: number) => matrixKind(device.profile.subgroupMatrix as MatrixConfig, tiles, { R, C });
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
  const config: MatrixConfig = { M: 16, N: 16, K: 16, subgroupSize: 32, sized: false };
  const wide = { subgroupRows: 2, subgroupCols: 4, matrixRows: 4, matrixCols: 4, BK: 32, stages: 1 }; // 128 x 256
  const kinds = (R: number, C: number) => [{}, { matrix: wide }].map((tiles) => matrixKind(config, tiles, { R, C }));
  expect(kinds(4096, 11008)).toEqual(['matrix', 'matrix']);
  expect(kinds(4096, 192)).toEqual(['matrix', 'matrixSmall']); // SmolLM2's k and v: 192 workgroups, and 32
  expect(kinds(4096, 1024)).toEqual(['matrix', 'matrix']); // 128 of the wide one
  expect(kinds(4096, 768)).toEqual(['matrix', 'matrixSmall']);
  expect(kinds(512, 576)).toEqual(['matrixSmall', 'matrixSmall']);
});
