/** The search for non-finite weights goes by words and strides; here it is held against one element after the other. */
import { describe, expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { type TorchFloat, widenToF32 } from '../../src/formats/dtype.ts';
import { nonFiniteAt, requireFinite } from '../../src/formats/finite.ts';
import { thrown } from './files.ts';

const HALVES = { float16: 'F16', bfloat16: 'BF16' } as const;

describe.each(Object.entries(HALVES))('%s', (torch, stored) => {
  test('every bit pattern, in either half of a word', () => {
    for (const place of [0, 1]) {
      const wrong = Array.from({ length: 2 ** 16 }, (_, bits) => {
        const halves = new Uint16Array(2);
        halves[place] = bits;
        const raw = new Uint8Array(halves.buffer);
        const want = widenToF32(raw, stored).findIndex((value) => !Number.isFinite(value));
        return nonFiniteAt(raw, torch as TorchFloat) === want ? 0 : 1;
      });
      expect(wrong.filter(Boolean).length).toBe(0);
    }
  });

  test.each([0, 1, 2, 2046, 2047, 2048, 2049, 4999, 5000])('the first of two, element %i of 5001', (at) => {
    const halves = new Uint16Array(5001).fill(0x3c00);
    halves[at] = 0xffff;
    halves[5000] = 0xffff;
    expect(nonFiniteAt(new Uint8Array(halves.buffer), torch as TorchFloat)).toBe(at);
  });
});

test.each([NaN, Infinity, -Infinity])('float32: %d at any place, also of bytes that are not aligned', (value) => {
  for (const at of [0, 1, 1023, 1024, 1025, 2999]) {
    const values = new Float32Array(3000).fill(-3.4e38);
    values[at] = value;
    const moved = new Uint8Array(values.byteLength + 2);
    moved.set(new Uint8Array(values.buffer), 2);
    expect(nonFiniteAt(moved.subarray(2), 'float32')).toBe(at);
    const error = thrown(() => requireFinite('model.norm.weight', values, 'bfloat16'));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(
      `model.norm.weight: element ${at} of 3000 (bfloat16) is ${value}; all weights must`,
    );
  }
});

test('none in finite values of any type, nor in no values at all', () => {
  const values = Float32Array.from({ length: 3001 }, (_, i) => (i % 2 ? -1 : 1) * 1.1 ** (i % 900));
  expect(nonFiniteAt(new Uint8Array(values.buffer), 'float32')).toBe(-1);
  for (const torch of ['float32', 'float16', 'bfloat16'] as const)
    expect(nonFiniteAt(new Uint8Array(0), torch)).toBe(-1);
});
