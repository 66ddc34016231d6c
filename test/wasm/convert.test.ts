import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { narrow, widen } from '../../src/wasm/buffers.ts';
import { REGION } from '../../src/wasm/codec.ts';
import { bf16Bits, bf16Value, f16Bits, f16Value } from '../ref/nf4.ts';
import { codec, debugCodec, expectSameBytes, rawBytes } from './helpers.ts';

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);
const FORMATS = [
  { dtype: 'float16', value: f16Value, bits: f16Bits, infinity: 0x7c00, quiet: 0x200, shift: 13 },
  { dtype: 'bfloat16', value: bf16Value, bits: bf16Bits, infinity: 0x7f80, quiet: 0x40, shift: 16 },
] as const;

describe.each(FORMATS)('$dtype', ({ dtype, value, bits, infinity, quiet, shift }) => {
  const isNaNBits = (h: number) => (h & 0x7fff) > infinity;

  test('all 65,536 patterns widen exactly; NaNs keep sign and payload', () => {
    const wide = new Uint32Array(widen(codec, rawBytes(ALL), dtype).buffer);
    const expected = new Float32Array(1);
    const expectedBits = new Uint32Array(expected.buffer);
    for (let h = 0; h < 65536; h++) {
      expected[0] = value(h);
      const mantissa = (h & (infinity ^ 0x7fff)) << shift;
      const want = isNaNBits(h) ? (((h & 0x8000) << 16) | 0x7f800000 | (mantissa & 0x7fffff)) >>> 0 : expectedBits[0];
      if (wide[h] !== want) throw new Error(`${h.toString(16)} widens to ${wide[h]?.toString(16)}, not ${want}`);
    }
  });

  test('all 65,536 patterns come back from f32 unchanged, signalling NaNs made quiet', () => {
    const back = new Uint16Array(narrow(codec, widen(codec, rawBytes(ALL), dtype), dtype).buffer);
    expectSameBytes(
      back,
      ALL.map((h) => (isNaNBits(h) ? h | quiet : h)),
    );
  });

  test('narrowing rounds to nearest even at, below and above every midpoint, the overflow one included', () => {
    const values = new Float32Array(3 * infinity);
    const asBits = new Uint32Array(values.buffer);
    for (let h = 0; h < infinity; h++) {
      // past the largest finite number the spacing continues as if there were one more
      const next = h + 1 === infinity ? 2 * value(h) - value(h - 1) : value(h + 1);
      values[3 * h] = (value(h) + next) / 2;
      asBits[3 * h + 1] = asBits[3 * h]! - 1;
      asBits[3 * h + 2] = asBits[3 * h]! + 1;
    }
    const both = new Float32Array([...values, ...values.map((v) => -v)]);
    const narrowed = new Uint16Array(narrow(codec, both, dtype).buffer);
    for (let h = 0; h < infinity; h++) {
      const want = [h + (h & 1), h, h + 1];
      for (const [k, expected] of want.entries()) {
        const got = [narrowed[3 * h + k], narrowed[values.length + 3 * h + k]];
        if (got[0] !== expected || got[1] !== (expected | 0x8000)) {
          throw new Error(`${both[3 * h + k]} narrows to ${got}, not ${expected}`);
        }
      }
    }
  });

  test('any f32 narrows as the reference rounds it, in both builds', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 40 }), (list) => {
        const values = Float32Array.from(list);
        const want = Uint16Array.from(values, bits);
        expect(new Uint16Array(narrow(codec, values, dtype).buffer)).toEqual(want);
        expect(new Uint16Array(narrow(debugCodec, values, dtype).buffer)).toEqual(want);
      }),
      { numRuns: 500 },
    );
  });
});

test('conversions go by slabs', () => {
  // more than a region of memory holds, so that too large a slab would write over its own source
  const elements = Math.ceil(REGION.byteLength / 2) + 5;
  // no stretch of it repeats, so that a slab taken from another place shows
  const raw = Uint16Array.from({ length: elements }, (_, i) => (Math.imul(i, 0x9e3779b1) >>> 16) & 0x7bff);
  const wide = widen(codec, rawBytes(raw), 'float16');
  expect(wide.findIndex((v, i) => v !== f16Value(raw[i]!))).toBe(-1);
  expectSameBytes(narrow(codec, wide, 'float16'), raw);
});
