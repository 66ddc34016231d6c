/** matvec_16bit against an f64 loop over the widened weight, in bfloat16 and float16. */
import { describe, expect, test } from 'vitest';
import { FLAG } from '../../src/kernels/flags.ts';
import { isMatvec16bit, matvec16bit } from '../../src/kernels/matvec-16bit.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';
import { f16Bits, f16Value } from '../ref/nf4.ts';

type Dtype = 'bf16' | 'f16';
const PROFILE = { tier: 'simt' } as const;

/** One load; rows that no four divide; more loads than lanes; 1, some and 8 rows of x. */
const SHAPES = [
  { T: 1, N: 1, K: 8 },
  { T: 1, N: 130, K: 24 },
  { T: 3, N: 5, K: 1048 },
  { T: 8, N: 9, K: 520 },
] as const;

const bitsOf = (dtype: Dtype, v: number): number =>
  dtype === 'f16' ? f16Bits(v) : (new Uint32Array(Float32Array.of(v).buffer)[0] as number) >>> 16;
const widened = (dtype: Dtype, bits: number): number =>
  dtype === 'f16' ? f16Value(bits) : (new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number);

/** A weight of 16 bits as a tensor, and the values that it holds. */
function weightOf(bench: Bench, dtype: Dtype, values: Float32Array, shape: readonly number[]) {
  const bits = Uint16Array.from(values, (v) => bitsOf(dtype, v));
  const words = new Uint32Array(bits.buffer.slice(0));
  return { w: bench.input('w', words, shape, { dtype }), values: Float64Array.from(bits, (b) => widened(dtype, b)) };
}

describe.each(['bf16', 'f16'] as const)('a weight in %s', (dtype) => {
  test.each(SHAPES)('T $T, N $N, K $K', async ({ T, N, K }) => {
    const bench = new Bench({ spare: ['y'], maxWorkgroups: 7, profile: PROFILE });
    const { w, values } = weightOf(bench, dtype, random(K).normal32(N * K, 0.02), [N, K]);
    const x = random(N).normal32(T * K);
    const [ld, col0] = [N + 3, 2]; // a band of a wider y, whose other columns stay
    const y = bench.output('y', [T, ld]);
    matvec16bit(bench.tape, { T, N, K, x: bench.input('x', x), w, y, yBand: { ld, col0 }, operands: 'f32' });
    await bench.run();
    const got = await bench.read(y);
    got.forEach((value, i) => {
      const [t, n] = [Math.floor(i / ld), (i % ld) - col0];
      if (n < 0 || n >= N) {
        expect(value, `y[${t}, ${n}] is no part of the band`).toBeNaN();
        return;
      }
      let [sum, size] = [0, 0];
      for (let k = 0; k < K; k++) {
        const term = (x[t * K + k] as number) * (values[n * K + k] as number);
        sum += term;
        size += Math.abs(term);
      }
      // half-ulps of the terms' magnitudes, as in matvec-4bit.test.ts
      const limit = size * (Math.min(K, 64) + 4) * 2 ** -24 + 1e-30;
      if (!(Math.abs(value - sum) <= limit)) throw new Error(`y[${t}, ${n}]: got ${value}, want ${sum} +- ${limit}`);
    });
  });

  itFloat16('operands in float16: what it does not hold raises its flag', async () => {
    const [T, N, K] = [2, 5, 72];
    const flagsOf = async (x: number, weight: number) => {
      const bench = new Bench({ spare: ['y'], profile: PROFILE });
      const { w } = weightOf(bench, dtype, new Float32Array(N * K).fill(weight), [N, K]);
      const xs = bench.input('x', new Float32Array(T * K).fill(x));
      const y = bench.output('y', [T, N]);
      matvec16bit(bench.tape, { T, N, K, x: xs, w, y, operands: 'f16' });
      await bench.run();
      return (await bench.readU32(bench.flags))[0];
    };
    expect(await flagsOf(1, 1)).toBe(0);
    expect(await flagsOf(70_000, 1)).toBe(FLAG.input);
    // float16 itself holds none that it does not hold, but infinity
    expect(await flagsOf(1, dtype === 'f16' ? Number.POSITIVE_INFINITY : 70_000)).toBe(FLAG.weight);
  });
});

test('what it takes, and what a caller can get wrong', () => {
  const bench = new Bench({ profile: PROFILE });
  const { profile } = bench.tape;
  expect(isMatvec16bit(profile, 'bf16', 8, 64)).toBe(true);
  for (const [dtype, T, K] of [
    ['f32', 1, 64],
    ['bf16', 9, 64],
    ['f16', 1, 60],
  ] as const)
    expect(isMatvec16bit(profile, dtype, T, K), `${dtype}, ${T} rows of ${K}`).toBe(false);
  expect(isMatvec16bit({ ...profile, tier: 'direct' }, 'bf16', 1, 64)).toBe(false);
  const { w } = weightOf(bench, 'bf16', new Float32Array(64), [8, 8]);
  const call = { T: 1, N: 8, K: 8, x: bench.output('x', [8]), w, y: bench.output('y', [8]), operands: 'f32' } as const;
  expect(() => matvec16bit(bench.tape, { ...call, T: 9 })).toThrow(
    /got 9 rows of 8 and w in bf16 on simt, takes at most 8/,
  );
  expect(() => matvec16bit(bench.tape, { ...call, N: 9 })).toThrow(/w is w \(8, 8\), needs 72 elements/);
});
