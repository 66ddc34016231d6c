import { describe, expect, it } from 'vitest';
import { roundedTo } from '../../src/formats/rounding.ts';
import { bf16Bits, bf16Value, f16Bits, f16Value } from '../ref/nf4.ts';

/** Ties between neighbours, the edges of f16's subnormals, its largest value, and values of every size between. */
const VALUES = Float32Array.of(
  0,
  -0,
  1,
  1 + 2 ** -11,
  1 + 3 * 2 ** -11,
  1 + 2 ** -8,
  1 + 3 * 2 ** -8,
  2 ** -14,
  2 ** -14 - 2 ** -25,
  2 ** -24,
  2 ** -25,
  3 * 2 ** -25,
  65_504,
  65_519,
  ...Array.from({ length: 400 }, (_, i) => Math.sin(i) * 2 ** ((i % 40) - 26)),
);

describe('roundedTo', () => {
  it('f16 and bf16 are those of the reference, to the bit and for both signs', () => {
    for (const values of [VALUES, VALUES.map((value) => -value)]) {
      expect([...roundedTo(values, 'f16')]).toEqual([...values].map((value) => f16Value(f16Bits(value))));
      expect([...roundedTo(values, 'bf16')]).toEqual([...values].map((value) => bf16Value(bf16Bits(value))));
    }
  });

  it('f32 is left as it is', () => {
    expect(roundedTo(VALUES, 'f32')).toBe(VALUES);
  });
});
