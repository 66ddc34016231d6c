/** matvec_4bit against an f64 loop over the decoded weight, in the form of a GPU and in that of software drivers. */
import { describe, expect, test } from 'vitest';
import type { Scales } from '../../src/kernels/dequant.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import { matvec4bit } from '../../src/kernels/matvec-4bit.ts';
import { CODE_BOOKS, DYNAMIC_CODE } from '../../src/wasm/tables.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';
import { dequantize4, dequantizeDynamic, f16Bits, f16Value, quantize4, quantizeDynamic } from '../ref/nf4.ts';

type Shape = { readonly T: number; readonly N: number; readonly K: number; readonly Q: number };
type Kind = { readonly quantType: 'nf4' | 'fp4'; readonly double: boolean; readonly tier: 'direct' | 'simt' };

const KINDS: readonly Kind[] = [
  { quantType: 'nf4', double: true, tier: 'direct' },
  { quantType: 'nf4', double: true, tier: 'simt' },
  { quantType: 'fp4', double: false, tier: 'direct' },
  { quantType: 'fp4', double: false, tier: 'simt' },
];

/**
 * One word; rows that are no multiple of a block, so that blocks straddle them; more words than lanes; every block size. Few
 * values of T: each is a pipeline of its own.
 */
const SHAPES: readonly Shape[] = [
  { T: 1, N: 1, K: 8, Q: 32 },
  { T: 1, N: 130, K: 24, Q: 64 },
  { T: 8, N: 17, K: 40, Q: 32 },
  { T: 3, N: 9, K: 1048, Q: 64 },
  { T: 3, N: 65, K: 136, Q: 128 },
  { T: 8, N: 7, K: 264, Q: 256 },
  { T: 3, N: 6, K: 520, Q: 512 },
  { T: 1, N: 5, K: 1032, Q: 1024 },
  { T: 3, N: 4, K: 1544, Q: 2048 },
  { T: 1, N: 3, K: 4104, Q: 4096 },
  // widths that loads of 16 bytes divide: one load, more than lanes have, rows that no four divide, 8 rows of x
  { T: 1, N: 1, K: 32, Q: 32 },
  { T: 1, N: 50, K: 4096, Q: 64 },
  { T: 2, N: 6, K: 2080, Q: 128 },
  { T: 3, N: 6, K: 96, Q: 32 },
  { T: 8, N: 9, K: 96, Q: 64 },
  { T: 8, N: 3, K: 2080, Q: 256 },
];

const word = (bytes: Uint8Array) => {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
};

function weightOf(bench: Bench, values: Float32Array, { quantType, double }: Kind, Q: number) {
  const { packed, absmax } = quantize4(values, quantType, Q);
  const bytes = (label: string, data: Uint8Array) => bench.input(label, word(data), [data.length], { dtype: 'u8' });
  const table = CODE_BOOKS[quantType];
  const tables = bench.input('tables', new Float32Array([...table, ...DYNAMIC_CODE]));
  const offset = Math.fround(absmax.reduce((sum, v) => sum + v, 0) / absmax.length);
  const { codes, absmax: nested } = quantizeDynamic(absmax, 256, offset);
  const scales: Scales = double
    ? {
        kind: 'double',
        codes: bytes('codes', codes),
        nested: bench.input('nested', Float32Array.of(...nested, offset)),
      }
    : { kind: 'plain', absmax: bench.input('absmax', absmax) };
  const decoded = double ? dequantizeDynamic(codes, nested, 256, offset) : absmax;
  const w = dequantize4(packed, decoded, values.length, quantType, Q);
  return { packed: bytes('packed', packed), scales, tables, w };
}

/** Sum and sum of magnitudes in f64. */
function product(x: ArrayLike<number>, w: ArrayLike<number>, { T, N, K }: Shape): { sum: number; size: number }[] {
  return Array.from({ length: T * N }, (_, i) => {
    const [t, n] = [Math.floor(i / N), i % N];
    let [sum, size] = [0, 0];
    for (let k = 0; k < K; k++) {
      const term = (x[t * K + k] as number) * (w[n * K + k] as number);
      sum += term;
      size += Math.abs(term);
    }
    return { sum, size };
  });
}

/**
 * f32 sums of K terms in any order, by the terms' magnitudes: K half-ulps at worst, and of many terms their errors' signs
 * differ (measured: below 20 of them for 4,104); the decoded scale may be off by an ulp. A wrong code is off by 2^20 of them.
 */
function expectSums(got: Float32Array, want: readonly { sum: number; size: number }[], K: number): void {
  expect(got.length).toBe(want.length);
  want.forEach(({ sum, size }, i) => {
    const limit = size * (Math.min(K, 64) + 4) * 2 ** -24 + 1e-30;
    if (!(Math.abs(got[i]! - sum) <= limit)) throw new Error(`y[${i}]: got ${got[i]}, want ${sum} +- ${limit}`);
  });
}

describe.each(KINDS)('$quantType, double $double, $tier', (kind) => {
  test.each(SHAPES)('T $T, N $N, K $K, blocks of $Q', async (shape) => {
    const { T, N, K, Q } = shape;
    // 130 rows fold the grid: two workgroups of 64 threads, or 12 of a row
    const bench = new Bench({
      spare: ['y', 'codes', 'absmax'],
      maxWorkgroups: kind.tier === 'direct' ? 2 : 12,
      profile: { tier: kind.tier },
    });
    const { w, ...weight } = weightOf(bench, random(K).normal32(N * K, 0.02), kind, Q);
    const x = random(N).normal32(T * K);
    // a band of a wider y, whose other columns stay
    const [ld, col0] = [N + 3, 2];
    const y = bench.output('y', [T, ld]);
    const call = { T, N, K, blockSize: Q, firstBlock: 0, yBand: { ld, col0 }, operands: 'f32' } as const;
    matvec4bit(bench.tape, { ...call, ...weight, x: bench.input('x', x), y });
    await bench.run();
    const all = await bench.read(y);
    const isOwn = (i: number) => i % ld >= col0 && i % ld < col0 + N;
    expectSums(
      all.filter((_, i) => isOwn(i)),
      product(x, w, shape),
      K,
    );
    expect(all.every((value, i) => isOwn(i) || Number.isNaN(value))).toBe(true);
  });

  test.each([24, 32])('shards by rows of %i are the rows of the whole, to the bit', async (K) => {
    const shape = { T: 3, N: 256, K, Q: 64 };
    const bench = new Bench({ spare: ['y', 'codes', 'absmax'], profile: { tier: kind.tier } });
    const { w, packed, scales, tables } = weightOf(bench, random(1).normal32(256 * K, 0.02), kind, 64);
    const x = bench.input('x', random(2).normal32(3 * K));
    const common = { T: 3, K, blockSize: 64, scales, tables, x, operands: 'f32' } as const;
    const [whole, parts] = [bench.output('y', [3, 256]), bench.output('y', [3, 256])];
    matvec4bit(bench.tape, { ...common, N: 256, firstBlock: 0, packed, y: whole });
    for (const row0 of [0, 128]) {
      const slice = packed.slice((row0 * K) / 2, (128 * K) / 2);
      const yBand = { ld: 256, col0: row0 };
      matvec4bit(bench.tape, { ...common, N: 128, firstBlock: (row0 * K) / 64, packed: slice, y: parts, yBand });
    }
    await bench.run();
    expectSums(await bench.read(whole), product(await bench.read(x), w, shape), K);
    expect(await bench.readU32(parts)).toEqual(await bench.readU32(whole));
  });

  itFloat16('operands in float16: rounded as in a scratch, what it does not hold raises its flag', async () => {
    const shape = { T: 2, N: 5, K: 96, Q: 32 };
    const run = async (x: Float32Array<ArrayBuffer>, spread: number) => {
      const bench = new Bench({ spare: ['y', 'codes', 'absmax'], profile: { tier: kind.tier } });
      const { w, ...weight } = weightOf(bench, random(3).normal32(5 * 96, spread), kind, 32);
      const y = bench.output('y', [2, 5]);
      const call = { T: 2, N: 5, K: 96, blockSize: 32, firstBlock: 0, operands: 'f16' } as const;
      matvec4bit(bench.tape, { ...call, ...weight, x: bench.input('x', x), y });
      await bench.run();
      return { y: await bench.read(y), w, flags: (await bench.readU32(bench.flags))[0] };
    };
    const half = (v: number) => f16Value(f16Bits(v));
    // multiples of 1/64 are exact in f16; lavapipe drops the rounding of w, which is allowed to it
    const x = Float32Array.from(random(4).integers(192, 512), (v) => (v - 256) / 64);
    const { y, w, flags } = await run(x, 0.5);
    expect(flags).toBe(0);
    const errors = [w.map(half), w].map((weight) =>
      product(x, weight, shape).map(({ sum, size }, i) => Math.abs(y[i]! - sum) / size),
    );
    // f32 sums; a scale that is off by an ulp rounds a few weights the other way, by 2^-11 of themselves
    const limit = 100 * 2 ** -24 + (kind.double ? 2 ** -14 : 0);
    expect(Math.min(...errors.map((of) => Math.max(...of)))).toBeLessThan(limit);
    x[100] = 70_000;
    expect((await run(x, 0.5)).flags).toBe(FLAG.input);
    x[100] = 0;
    expect((await run(x, 1e6)).flags).toBe(FLAG.weight);
  });
});

test('what a caller can get wrong', () => {
  const bench = new Bench();
  const { w, ...weight } = weightOf(bench, new Float32Array(64).fill(1), KINDS[2]!, 32);
  const call = { T: 1, N: 8, K: 8, blockSize: 32, firstBlock: 0, operands: 'f32' } as const;
  const tensors = { ...weight, x: bench.output('x', [8]), y: bench.output('y', [8]) };
  const refused = (change: object) => expect(() => matvec4bit(bench.tape, { ...call, ...tensors, ...change }));
  refused({ T: 9 }).toThrow('got 9 rows of 8, takes at most 8 rows of a multiple of 8');
  refused({ K: 12 }).toThrow('got 1 rows of 12');
  refused({ blockSize: 4 }).toThrow('block size 4 is not a multiple of 8');
  refused({ N: 9 }).toThrow('packed is packed (32), needs 36 elements');
  refused({ T: 2 }).toThrow('x is x (8), needs 16 elements');
  refused({ yBand: { ld: 9, col0: 1 } }).toThrow('y is y (8), needs 9 elements');
  refused({ firstBlock: 1 }).toThrow('absmax is absmax (2), needs 3 elements');
});
