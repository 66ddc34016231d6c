import { describe, expect, test } from 'vitest';
import { type Dequant4bit, dequant4bit, widen } from '../../src/kernels/dequant.ts';
import { dequantize4bit, quantize4bit } from '../../src/wasm/buffers.ts';
import { CODE_BOOKS, DYNAMIC_CODE } from '../../src/wasm/tables.ts';
import { BLOCK_SIZES, type QuantType } from '../../src/wasm/types.ts';
import { Bench } from '../gpu/harness.ts';
import { expectSameBits, random } from '../ref/compare.ts';
import {
  bf16Value,
  dequantize4,
  dequantizeDynamic,
  f16Bits,
  f16Value,
  quantize4,
  quantizeDynamic,
} from '../ref/nf4.ts';
import { codec, encode } from '../wasm/helpers.ts';

/** Packs bytes into words as they lie on the GPU. */
function words(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}

/** 16-bit patterns two to a word, the first in the lower half. */
const halves = (bits: readonly number[]) => words(new Uint8Array(Uint16Array.from(bits).buffer));

const bytesInput = (bench: Bench, label: string, bytes: Uint8Array) =>
  bench.input(label, words(bytes), [bytes.length], { dtype: 'u8' });

const tablesOf = (quantType: QuantType) => new Float32Array([...CODE_BOOKS[quantType], ...DYNAMIC_CODE]);

/** Distance from an f32 to the next one above it. */
const ulpOf = (value: number) => 2 ** (Math.floor(Math.log2(Math.abs(value))) - 23);

/**
 * Each weight within 1 ulp of its block's absmax: map * nested + offset may be fused into one rounding, and a code of
 * magnitude at most 1 passes that on undiminished at most.
 */
function expectWithinUlpOfAbsmax(got: Float32Array, want: Float32Array, absmax: Float32Array, blockSize: number): void {
  expect(got.length).toBe(want.length);
  want.forEach((value, i) => {
    const limit = ulpOf(absmax[Math.floor(i / blockSize)]!);
    if (!(Math.abs(got[i]! - value) <= limit)) throw new Error(`w[${i}]: got ${got[i]}, want ${value} +- ${limit}`);
  });
}

/** absmax near 0.04 with an offset below most of them: the sum that decodes them does not cancel. */
function doubleScales(absmax: Float32Array) {
  const offset = Math.fround(absmax.reduce((sum, v) => sum + v, 0) / absmax.length);
  const { codes, absmax: nested } = quantizeDynamic(absmax, 256, offset);
  return { codes, nested, offset, decoded: dequantizeDynamic(codes, nested, 256, offset) };
}

const SIZES = [1, 7, 8, 63, 64, 65, 1000, 20_001];

/** A thread's words follow each other in the first, and lie apart in the second. */
const TIERS = ['direct', 'simt'] as const;

describe.each(
  (['nf4', 'fp4', 'int4'] as const).flatMap((quantType) => TIERS.map((tier) => [quantType, tier] as const)),
)('dequant_4bit, %s to f32, %s', (quantType, tier) => {
  // past 7 workgroups of 64 threads of 32 elements the grid folds: 20,001
  test.each(SIZES)('%i elements in blocks of 64, scales plain: the bits of the reference', async (n) => {
    const { packed, absmax } = quantize4(random(n).normal32(n, 0.02), quantType, 64);
    const bench = new Bench({ spare: ['w', 'absmax', 'codes'], maxWorkgroups: 7, profile: { tier } });
    const w = bench.output('w', [n + 5]);
    dequant4bit(bench.tape, {
      n,
      blockSize: 64,
      firstBlock: 0,
      w,
      packed: bytesInput(bench, 'packed', packed),
      scales: { kind: 'plain', absmax: bench.input('absmax', absmax) },
      tables: bench.input('tables', tablesOf(quantType)),
    });
    await bench.run();
    // one f32 product, which WGSL rounds correctly
    const got = await bench.read(w);
    expectSameBits('w', got.slice(0, n), dequantize4(packed, absmax, n, quantType, 64));
    expect([...got.slice(n)]).toEqual(new Array(5).fill(Number.NaN));
  });

  // 300 blocks: the second nested block comes into use
  test.each(BLOCK_SIZES)('blocks of %i, double quantization', async (blockSize) => {
    const n = (blockSize <= 512 ? 300 : 5) * blockSize - 3;
    const { packed, absmax } = quantize4(random(blockSize).normal32(n, 0.02), quantType, blockSize);
    const { codes, nested, offset, decoded } = doubleScales(absmax);
    const bench = new Bench({ spare: ['w', 'absmax', 'codes'], profile: { tier } });
    const w = bench.output('w', [n]);
    dequant4bit(bench.tape, {
      n,
      blockSize,
      firstBlock: 0,
      w,
      packed: bytesInput(bench, 'packed', packed),
      scales: {
        kind: 'double',
        codes: bytesInput(bench, 'codes', codes),
        nested: bench.input('nested', Float32Array.of(...nested, offset)),
      },
      tables: bench.input('tables', tablesOf(quantType)),
    });
    await bench.run();
    const want = dequantize4(packed, decoded, n, quantType, blockSize);
    expectWithinUlpOfAbsmax(await bench.read(w), want, decoded, blockSize);
  });

  // rows of 24 and 40 are no multiple of a block: blocks straddle rows, shards start at a block of their own
  test.each([24, 40])('shards of a matrix with rows of %i decode to what the whole does', async (width) => {
    const [rows, blockSize] = [400, 64];
    const n = rows * width;
    const { packed, absmax } = quantize4(random(width).normal32(n, 0.02), quantType, blockSize);
    const { codes, nested, offset, decoded } = doubleScales(absmax);
    const bench = new Bench({ spare: ['w', 'absmax', 'codes'], profile: { tier } });
    const matrix = bytesInput(bench, 'packed', packed);
    const common = { blockSize, tables: bench.input('tables', tablesOf(quantType)) };
    const plain = { kind: 'plain', absmax: bench.input('absmax', absmax) } as const;
    const double = {
      kind: 'double',
      codes: bytesInput(bench, 'codes', codes),
      nested: bench.input('nested', Float32Array.of(...nested, offset)),
    } as const;
    // 128 rows: a multiple of 512 elements, so that the nibbles start where a binding may
    const shards = [0, 128, 256, 384].map((row0) => ({ row0, count: Math.min(128, rows - row0) * width }));
    const outputs = shards.map(({ row0, count }) => {
      const at = {
        n: count,
        firstBlock: (row0 * width) / blockSize,
        packed: matrix.slice((row0 * width) / 2, count / 2),
      };
      return [plain, double].map((scales: Dequant4bit['scales']) => {
        const w = bench.output(`w[${row0}]`, [count]);
        dequant4bit(bench.tape, { ...common, ...at, scales, w });
        return w;
      });
    });
    await bench.run();
    const want = [absmax, decoded].map((a) => dequantize4(packed, a, n, quantType, blockSize));
    for (const [i, { row0, count }] of shards.entries()) {
      const part = (a: Float32Array) => a.slice(row0 * width, row0 * width + count);
      expectSameBits('plain', await bench.read(outputs[i]![0]!), part(want[0]!));
      const scales = decoded.slice((row0 * width) / blockSize);
      expectWithinUlpOfAbsmax(await bench.read(outputs[i]![1]!), part(want[1]!), scales, blockSize);
    }
  });
});

test.each(['float32', 'bfloat16'] as const)('golden B2 from %s: WGSL within 1 ulp of absmax of WASM', async (dtype) => {
  // the golden vector of test/wasm/golden.test.ts, whose decoded bytes are checked there against their hash
  const u = (i: number, a: number, c: number, m: number) => ((i * a + c) % m) / m;
  const b2 = Float32Array.from(
    { length: 32768 },
    (_, i) => (u(i, 7919, 1, 100003) + u(i, 104729, 2, 100019) + u(i, 15485863, 3, 99991) - 1.5) * 0.04,
  );
  const spec = { quantType: 'nf4', blockSize: 64, doubleQuant: true } as const;
  const quantized = quantize4bit(codec, encode(b2, dtype), dtype, spec);
  const { packed, state } = quantized;
  if (!state.nested) throw new Error('asked for a nested state');
  const want = new Float32Array(dequantize4bit(codec, quantized, b2.length, spec, 'float32').buffer);
  const bench = new Bench();
  const w = bench.output('w', [b2.length]);
  dequant4bit(bench.tape, {
    n: b2.length,
    blockSize: 64,
    firstBlock: 0,
    w,
    packed: bytesInput(bench, 'packed', packed),
    scales: {
      kind: 'double',
      codes: bytesInput(bench, 'codes', state.codes),
      nested: bench.input('nested', Float32Array.of(...state.nestedAbsmax, state.offset)),
    },
    tables: bench.input('tables', tablesOf('nf4')),
  });
  await bench.run();
  const absmax = dequantizeDynamic(state.codes, state.nestedAbsmax, 256, state.offset);
  expectWithinUlpOfAbsmax(await bench.read(w), want, absmax, 64);
});

describe('widen to f32', () => {
  const PATTERNS = 0x1_0000;
  const isFinite16 = {
    bf16: (bits: number) => (bits & 0x7f80) !== 0x7f80,
    f16: (bits: number) => (bits & 0x7c00) !== 0x7c00,
  };
  const isSubnormal = {
    bf16: (bits: number) => (bits & 0x7f80) === 0 && (bits & 0x7f) !== 0,
    f16: (bits: number) => (bits & 0x7c00) === 0 && (bits & 0x3ff) !== 0,
  };
  const decode16 = { bf16: bf16Value, f16: f16Value };

  test.each(['bf16', 'f16'] as const)('all finite patterns of %s, in both halves of a word', async (dtype) => {
    const patterns = Array.from({ length: PATTERNS }, (_, i) => i);
    // one element between the two lists moves the second by half a word
    const bits = [...patterns, 0, ...patterns];
    const n = bits.length;
    const bench = new Bench();
    const w = bench.output('w', [n]);
    widen(bench.tape, { n, source: bench.input('source', halves(bits), [n], { dtype }), w });
    await bench.run();
    const got = await bench.read(w);
    let finite = 0;
    bits.forEach((pattern, i) => {
      if (!isFinite16[dtype](pattern)) return;
      finite++;
      const want = decode16[dtype](pattern);
      if (Object.is(got[i], want)) return;
      // WGSL lets a device flush subnormals, of the type it reads as of f32
      const flushed = isSubnormal[dtype](pattern) && got[i] === 0;
      if (!flushed) throw new Error(`${dtype} 0x${pattern.toString(16)}: got ${got[i]}, want ${want}`);
    });
    expect(finite).toBe(2 * (dtype === 'bf16' ? 2 * 255 * 128 : 2 * 31 * 1024) + 1);
  });

  test.each([1, 2, 127, 5001])('%i elements of bf16, f16 and f32: nothing beyond the end, folded grid', async (n) => {
    const values = random(n)
      .integers(n, 512)
      .map((v) => v - 256);
    const sources = {
      bf16: halves(Array.from(values, (v) => new Uint32Array(Float32Array.of(v).buffer)[0]! >>> 16)),
      f16: halves(Array.from(values, (v) => f16Bits(v))),
      f32: Float32Array.from(values),
    };
    const bench = new Bench({ spare: ['w'], maxWorkgroups: 7 });
    const outputs = Object.entries(sources).map(([dtype, data]) => {
      const w = bench.output('w', [n + 1]);
      const source = bench.input('source', data, [n], { dtype: dtype as keyof typeof sources });
      widen(bench.tape, { n, source, w });
      return w;
    });
    await bench.run();
    for (const w of outputs) expect([...(await bench.read(w))]).toEqual([...values, Number.NaN]);
  });
});

test('what a caller can get wrong', () => {
  const bench = new Bench();
  const w = bench.output('w', [64]);
  const call = {
    n: 64,
    blockSize: 64,
    firstBlock: 0,
    w,
    packed: bytesInput(bench, 'packed', new Uint8Array(32)),
    scales: { kind: 'plain', absmax: bench.output('absmax', [1]) },
    tables: bench.output('tables', [272]),
  } as const;
  expect(() => dequant4bit(bench.tape, { ...call, blockSize: 8 })).toThrow('block size 8 is not a multiple of 32');
  expect(() => dequant4bit(bench.tape, { ...call, n: 66 })).toThrow('packed is packed (32), needs 33 elements');
  expect(() => dequant4bit(bench.tape, { ...call, firstBlock: 1 })).toThrow('absmax is absmax (1), needs 2 elements');
  expect(() => widen(bench.tape, { n: 32, source: call.packed, w })).toThrow('source is u8');
});
