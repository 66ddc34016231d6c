import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dequantize4bit, narrow, type Quantized, quantize4bit, widen } from '../../src/wasm/buffers.ts';
import { BLOCK_SIZES, type QuantSpec, type SourceDtype } from '../../src/wasm/types.ts';
import * as ref from '../ref/nf4.ts';
import { codec, debugCodec, encode, expectSameBytes, rawBytes, splitByReciprocal, weights } from './helpers.ts';

const DTYPES = ['float32', 'float16', 'bfloat16'] as const;
const QUANT_TYPES = ['nf4', 'fp4', 'int4'] as const;
const NF4: QuantSpec = { quantType: 'nf4', blockSize: 64, doubleQuant: false };
const FP4: QuantSpec = { ...NF4, quantType: 'fp4' };

/** Decodes raw elements of a dtype with the reference. */
function decode(raw: Uint8Array<ArrayBuffer>, dtype: SourceDtype): Float32Array<ArrayBuffer> {
  if (dtype === 'float32') return new Float32Array(raw.buffer);
  return Float32Array.from(new Uint16Array(raw.buffer), dtype === 'float16' ? ref.f16Value : ref.bf16Value);
}

function plainAbsmax({ state }: Quantized): Float32Array {
  if (state.nested) throw new Error('expected a plain state');
  return state.absmax;
}

/** Quantizes in both builds and compares nibbles and absmax with the reference, bit for bit. */
function expectLikeReference(raw: Uint8Array<ArrayBuffer>, dtype: SourceDtype, spec: QuantSpec): Quantized {
  const want = ref.quantize4(decode(raw, dtype), spec.quantType, spec.blockSize);
  for (const wasm of [debugCodec, codec]) {
    const got = quantize4bit(wasm, raw, dtype, spec);
    expectSameBytes(got.packed, want.packed);
    expectSameBytes(plainAbsmax(got), want.absmax);
  }
  return { packed: want.packed, state: { nested: false, packedBytes: want.packed.length, absmax: want.absmax } };
}

describe.each(QUANT_TYPES)('%s', (quantType) => {
  test.each(BLOCK_SIZES)('block size %i: full, short and single blocks, even and odd, every dtype', (blockSize) => {
    for (const elements of [1, 2, blockSize - 1, blockSize, blockSize + 1, 3 * blockSize, 3 * blockSize + 17]) {
      for (const dtype of DTYPES) {
        const spec = { quantType, blockSize, doubleQuant: false };
        const raw = encode(weights(elements, elements), dtype);
        const quantized = expectLikeReference(raw, dtype, spec);
        const back = ref.dequantize4(quantized.packed, plainAbsmax(quantized), elements, quantType, blockSize);
        for (const target of DTYPES) {
          expectSameBytes(dequantize4bit(codec, quantized, elements, spec, target), encode(back, target));
        }
      }
    }
  });

  test('blocks run over the flat index and straddle rows', () => {
    const [rows, columns] = [7, 75];
    const raw = encode(weights(rows * columns), 'float32');
    expectLikeReference(raw, 'float32', { quantType, blockSize: 64, doubleQuant: false });
  });

  test('random data of any scale equals the reference', () => {
    const anyFloats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 150 });
    const magnitudes = fc.integer({ min: -44, max: 36 });
    fc.assert(
      fc.property(anyFloats, magnitudes, fc.nat(), (list, exponent, seed) => {
        const spec = { quantType, blockSize: 32, doubleQuant: false };
        expectLikeReference(encode(list, 'float32'), 'float32', spec);
        const scaled = weights(97, seed).map((v) => v * 10 ** exponent);
        expectLikeReference(encode(scaled, 'float32'), 'float32', spec);
        if (exponent < 4) expectLikeReference(encode(scaled, 'float16'), 'float16', spec);
        expectLikeReference(encode(scaled, 'bfloat16'), 'bfloat16', spec);
      }),
      { numRuns: 300 },
    );
  });
});

test('a scaled value at a threshold stays below it, one ulp above passes it', () => {
  const thresholds = Float32Array.from(ref.NF4_THRESHOLDS);
  const bits = new Uint32Array(thresholds.buffer);
  for (let t = 0; t < 15; t++) {
    const away = Float32Array.from([thresholds[t]!, 0, 0]);
    const awayBits = new Uint32Array(away.buffer);
    const up = thresholds[t]! > 0 ? 1 : -1;
    awayBits[1] = bits[t]! - up;
    awayBits[2] = bits[t]! + up;
    // a 1 makes absmax 1, so that values are their own scaled form
    const raw = rawBytes(Float32Array.from([...away, 1]));
    const { packed } = expectLikeReference(raw, 'float32', NF4);
    expect([...packed]).toEqual([(t << 4) | t, ((t + 1) << 4) | 15]);
  }
});

test('FP4 follows the CUDA thresholds where the midpoints differ, and signs tiny values as CUDA does', () => {
  // between CUDA's 0x3b2aaab9 and the midpoint 0x3b2aaaab: code 0, where midpoints would say 1
  const between = new Float32Array(Uint32Array.from([0x3b2aaab4]).buffer)[0]!;
  const raw = rawBytes(Float32Array.from([between, -between, 1e-30, -1e-30, 0, -0, 1, -1]));
  const { packed } = expectLikeReference(raw, 'float32', FP4);
  expect([...packed]).toEqual([0x08, 0x08, 0x00, 0x3b]);
});

test('every threshold sees its two neighbours in all lanes', () => {
  for (const spec of [NF4, FP4]) {
    const thresholds = spec.quantType === 'nf4' ? ref.NF4_THRESHOLDS : ref.FP4_THRESHOLDS;
    const near = Float32Array.from(thresholds.flatMap((t) => [t, t * (1 + 2 ** -23), t * (1 - 2 ** -23), -t]));
    for (let shift = 0; shift < 32; shift++) {
      const values = new Float32Array(shift + near.length + 1).fill(1);
      values.set(near, shift);
      expectLikeReference(rawBytes(values), 'float32', { ...spec, blockSize: 4096 });
    }
  }
});

test('values are scaled by the rounded reciprocal, as bitsandbytes does, not divided', () => {
  let found = 0;
  for (let i = 0; i < 400; i++) {
    const largest = Math.fround(0.01 + i * 1.37e-4);
    const split = splitByReciprocal(ref.NF4_THRESHOLDS, largest);
    found += split.length;
    expectLikeReference(rawBytes(Float32Array.from([largest, ...split])), 'float32', NF4);
  }
  // the case has to occur, or nothing was compared
  expect(found).toBeGreaterThan(100);
});

test('a dense sweep of [-1, 1] equals the reference: no bin boundary hides a threshold', () => {
  const count = 40_001;
  const values = Float32Array.from({ length: count }, (_, i) => (2 * i) / (count - 1) - 1);
  const padded = new Float32Array(Math.ceil(count / 4095) * 4096).fill(1);
  for (let i = 0; i < count; i++) padded[Math.floor(i / 4095) * 4096 + 1 + (i % 4095)] = values[i]!;
  for (const spec of [NF4, FP4]) expectLikeReference(rawBytes(padded), 'float32', { ...spec, blockSize: 4096 });
});

describe('degenerate blocks', () => {
  test('zero blocks encode as exact zeros: 7 in NF4, 0 in FP4', () => {
    const raw = new Uint8Array(100 * 4);
    expect(new Set(expectLikeReference(raw, 'float32', NF4).packed)).toEqual(new Set([0x77]));
    expect(new Set(expectLikeReference(raw, 'float32', FP4).packed)).toEqual(new Set([0]));
  });

  test('the low nibble after an odd last element is 7 in NF4, 0 in FP4', () => {
    const raw = encode([1], 'float32');
    expect([...expectLikeReference(raw, 'float32', NF4).packed]).toEqual([0xf7]);
    expect([...expectLikeReference(raw, 'float32', FP4).packed]).toEqual([0x30]);
  });

  test('subnormal maxima, where 1/x overflows, stay finite', () => {
    const smallest = 2 ** -149;
    const raw = encode([smallest, -smallest, 3 * smallest, 1e-39, 1e-38, 1.2e-38], 'float32');
    for (const spec of [NF4, FP4]) {
      const quantized = expectLikeReference(raw, 'float32', spec);
      const back = new Float32Array(dequantize4bit(codec, quantized, 6, spec, 'float32').buffer);
      expect(back.every(Number.isFinite)).toBe(true);
    }
  });
});

describe('bad input', () => {
  const cases = DTYPES.flatMap((dtype) =>
    [Number.NaN, Infinity, -Infinity].flatMap((value) => [0, 63, 64, 100, 130].map((at) => ({ dtype, value, at }))),
  );

  test.each(cases)('$value at $at in $dtype is an error that says so', ({ dtype, value, at }) => {
    const values = weights(131);
    values[at] = value;
    // a later one must not be reported instead
    values[130] = value;
    const raw = dtype === 'float32' ? rawBytes(values) : narrow(codec, values, dtype);
    for (const wasm of [codec, debugCodec]) {
      expect(() => quantize4bit(wasm, raw, dtype, NF4, 'layers.0.q_proj.weight')).toThrow(
        `layers.0.q_proj.weight: element ${at} of 131 (${dtype}) is ${value};`,
      );
    }
  });

  test('the error is a DataError and what came before it is no obstacle to the next tensor', () => {
    const bad = rawBytes(Float32Array.from([1, Number.NaN]));
    expect(() => quantize4bit(codec, bad, 'float32', NF4)).toThrow(expect.objectContaining({ name: 'DataError' }));
    expectLikeReference(encode(weights(100), 'float32'), 'float32', NF4);
  });

  test('block sizes and lengths that the format does not have', () => {
    const raw = encode([1, 2], 'float32');
    for (const blockSize of [0, 16, 48, 8192]) {
      expect(() => quantize4bit(codec, raw, 'float32', { ...NF4, blockSize })).toThrow(`got block size ${blockSize}`);
    }
    expect(() => quantize4bit(codec, raw.subarray(0, 6), 'float32', NF4)).toThrow('got 1.5 elements');
    expect(() => quantize4bit(codec, new Uint8Array(), 'float32', NF4)).toThrow('got 0 elements');
    const quantized = quantize4bit(codec, raw, 'float32', NF4);
    expect(() => dequantize4bit(codec, quantized, 3, NF4, 'float32')).toThrow('got 1 packed bytes');
  });
});

test('more than one slab: quantized, decoded and widened like the reference', () => {
  const elements = (2 << 20) / 2 + 4096 + 77;
  const raw = narrow(codec, weights(elements), 'bfloat16');
  const spec = { ...NF4, blockSize: 128 };
  const values = widen(codec, raw, 'bfloat16');
  const quantized = quantize4bit(codec, raw, 'bfloat16', spec);
  const tail = elements - 4096 - 77 - 4096;
  const want = ref.quantize4(values.subarray(tail), 'nf4', 128);
  expectSameBytes(quantized.packed.subarray(tail / 2), want.packed);
  expectSameBytes(plainAbsmax(quantized).subarray(tail / 128), want.absmax);
  const back = new Float32Array(dequantize4bit(codec, quantized, elements, spec, 'float32').buffer);
  const backTail = ref.dequantize4(want.packed, want.absmax, elements - tail, 'nf4', 128);
  expectSameBytes(back.subarray(tail), backTail);
});
