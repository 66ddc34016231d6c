import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dequantize4bit, quantize4bit, widen } from '../../src/wasm/buffers.ts';
import { decodedAbsmax, dequantizeDynamic8bit, quantizeDynamic8bit, quantState } from '../../src/wasm/nested.ts';
import * as ref from '../ref/nf4.ts';
import { codec, debugCodec, encode, expectSameBytes, splitByReciprocal, weights } from './helpers.ts';

describe('signed dynamic 8-bit code', () => {
  test('equals the reference on random data, with and without offset, any block size and length', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 }), { maxLength: 600 }),
        fc.constantFrom(0, Math.fround(0.042), -3),
        fc.constantFrom(8, 100, 256),
        (list, offset, blockSize) => {
          const values = Float32Array.from(list);
          const want = ref.quantizeDynamic(values, blockSize, offset);
          for (const wasm of [codec, debugCodec]) {
            const got = quantizeDynamic8bit(wasm, values, { blockSize, offset });
            expect(got.codes).toEqual(want.codes);
            expect(got.absmax).toEqual(want.absmax);
            const back = dequantizeDynamic8bit(wasm, got, { blockSize, offset });
            expect(back).toEqual(ref.dequantizeDynamic(want.codes, want.absmax, blockSize, offset));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('at every midpoint the tie goes to the even index, one ulp away to the nearer one', () => {
    for (const [i, midpoint] of ref.DYNAMIC_MIDPOINTS.entries()) {
      const values = Float32Array.from([midpoint, midpoint, midpoint, 1]);
      const bits = new Uint32Array(values.buffer);
      const up = midpoint > 0 ? 1 : -1;
      bits[1]! -= up;
      bits[2]! += up;
      const { codes } = quantizeDynamic8bit(codec, values);
      expect([...codes]).toEqual([i + (i % 2), i, i + 1, 255]);
    }
  });

  test('every code decodes to its entry and encodes back to itself', () => {
    const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const values = dequantizeDynamic8bit(codec, { codes, absmax: Float32Array.from([1]) });
    expect(quantizeDynamic8bit(codec, values).codes).toEqual(codes);
  });

  test('a block without spread gets code 0 and decodes to the offset', () => {
    const values = new Float32Array(300).fill(0.25);
    const quantized = quantizeDynamic8bit(codec, values, { offset: 0.25 });
    expect(new Set(quantized.codes)).toEqual(new Set([0]));
    expect(dequantizeDynamic8bit(codec, quantized, { offset: 0.25 })).toEqual(values);
  });

  test('values are scaled by the rounded reciprocal, as bitsandbytes does, not divided', () => {
    let found = 0;
    for (let i = 0; i < 100; i++) {
      const largest = Math.fround(0.01 + i * 1.37e-4);
      const split = splitByReciprocal(ref.DYNAMIC_MIDPOINTS, largest);
      found += split.length;
      const values = Float32Array.from([largest, ...split]);
      expectSameBytes(quantizeDynamic8bit(codec, values).codes, ref.quantizeDynamic(values, 256, 0).codes);
    }
    // the case has to occur, or nothing was compared
    expect(found).toBeGreaterThan(1000);
  });

  test('subnormal blocks, whose reciprocal overflows, are divided', () => {
    const values = Float32Array.from([2 ** -149, -(2 ** -148), 1e-39, -1e-39, 0]);
    const got = quantizeDynamic8bit(codec, values);
    expect(got.codes).toEqual(ref.quantizeDynamic(values, 256, 0).codes);
    expect(got.codes[2]).toBe(255);
  });

  test('block sizes that a slab has no room for are refused', () => {
    for (const blockSize of [0, 4, 2 ** 20]) {
      expect(() => quantizeDynamic8bit(codec, Float32Array.from([1]), { blockSize })).toThrow(
        `got block size ${blockSize}`,
      );
    }
    expect(() => dequantizeDynamic8bit(codec, { codes: new Uint8Array(300), absmax: new Float32Array(1) })).toThrow(
      'got 1 absmax values, needs 2',
    );
  });

  test('NaN names its index, past the slab boundary too', () => {
    const values = new Float32Array(600_000);
    values[555_555] = Number.NaN;
    expect(() => quantizeDynamic8bit(codec, values, { name: 'moments' })).toThrow('moments: element 555555 is NaN');
  });
});

describe('double quantization', () => {
  test.each([1, 64, 65, 64 * 256, 64 * 256 + 1, 64 * 1000 + 63])('%i elements: the parts of the state', (elements) => {
    const spec = { quantType: 'nf4', blockSize: 64, doubleQuant: true } as const;
    const raw = encode(weights(elements), 'bfloat16');
    const values = widen(codec, raw, 'bfloat16');
    const { state, packed } = quantize4bit(codec, raw, 'bfloat16', spec);
    if (!state.nested) throw new Error('expected a nested state');
    const absmax = ref.blockAbsmax(values, 64);
    const offset = ref.meanF32(absmax);
    const want = ref.quantizeDynamic(absmax, 256, offset);
    expect(state.offset).toBe(offset);
    expectSameBytes(state.codes, want.codes);
    expectSameBytes(state.nestedAbsmax, want.absmax);
    const decoded = ref.dequantizeDynamic(want.codes, want.absmax, 256, offset);
    const back = ref.dequantize4(packed, decoded, elements, 'nf4', 64);
    expectSameBytes(dequantize4bit(codec, { packed, state }, elements, spec, 'float32'), back);
    const bytes = state.packedBytes + state.codes.byteLength + state.nestedAbsmax.byteLength + 4;
    const blocks = Math.ceil(elements / 64);
    expect(bytes).toBe(Math.ceil(elements / 2) + blocks + 4 * Math.ceil(blocks / 256) + 4);
  });
});

test('the state of a tensor with more absmax than a slab holds', () => {
  const absmax = weights(600_001).map(Math.abs);
  const state = quantState(codec, absmax, 0, true);
  if (!state.nested) throw new Error('expected a nested state');
  expect(state.offset).toBe(ref.meanF32(absmax));
  const want = ref.quantizeDynamic(absmax, 256, state.offset);
  expectSameBytes(state.codes, want.codes);
  expectSameBytes(state.nestedAbsmax, want.absmax);
  const back = ref.dequantizeDynamic(want.codes, want.absmax, 256, state.offset);
  expectSameBytes(decodedAbsmax(codec, state), back);
});
