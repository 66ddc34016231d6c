import { describe, expect, it } from 'vitest';
import { probeSubnormals } from '../../src/doctor/probe.ts';
import type { Subnormals } from '../../src/doctor/types.ts';
import { scaleTiny } from '../../src/kernels/subnormal.ts';
import { itFloat16, packHalves, toHalves, unpackHalves } from '../gpu/float16.ts';
import { Bench, device } from '../gpu/harness.ts';
import { f16Value } from '../ref/nf4.ts';

/** What `nibble doctor` says of this device. */
const reported = await probeSubnormals(device);

/** Multiplies by `scale`, and holds each product against what the report makes of it: zero where either end is flushed. */
function asReported(
  { operands, results }: Subnormals,
  values: readonly number[],
  scale: number,
  least: number,
): number[] {
  const through = (x: number, fate: string): number => (Math.abs(x) < least && fate === 'flushed' ? 0 : x);
  return values.map((x) => through(through(x, operands) * scale, results));
}

describe('subnormal', () => {
  for (const n of [1, 64, 1000]) {
    it(`multiplies ${n} f32 numbers of normal size exactly`, async () => {
      const bench = new Bench({ maxWorkgroups: 7 });
      const x = Float32Array.from({ length: n }, (_, i) => (i - 5) * 0.37);
      const y = bench.output('y', [n]);
      scaleTiny(bench.tape, { x: bench.input('x', x), y, scale: 1.7 });
      await bench.run();
      expect([...(await bench.read(y))]).toEqual([...x.map((v) => Math.fround(v * Math.fround(1.7)))]);
    });
  }

  // by 1 both ends are subnormal, by 2 an operand alone, by 1/2 a result alone
  for (const scale of [1, 2, 0.5]) {
    it(`does to f32 subnormals times ${scale} what doctor reports, and leaves the smallest normal number`, async () => {
      const bench = new Bench();
      const x = Float32Array.of(2 ** -126, -(2 ** -127), 1.5 * 2 ** -127, 2 ** -140, 2 ** -125);
      const y = bench.output('y', [x.length]);
      scaleTiny(bench.tape, { x: bench.input('x', x), y, scale });
      await bench.run();
      const want = asReported(reported.f32, [...x], scale, 2 ** -126);
      expect([...(await bench.read(y))].map(unsigned)).toEqual(want.map(unsigned));
    });

    itFloat16(`does to f16 subnormals times ${scale} what doctor reports`, async () => {
      const bench = new Bench();
      const values = [1.5, -3, 2 ** -14, 2 ** -15, -(2 ** -20), 2 ** -13];
      const x = bench.input('x', toHalves(values), [values.length], { dtype: 'f16' });
      const y = bench.input('y', packHalves(values.map(() => 0x7e00)), [values.length], { dtype: 'f16' });
      scaleTiny(bench.tape, { x, y, scale });
      await bench.run();
      const got = unpackHalves(await bench.readU32(y), values.length).map(f16Value);
      const want = asReported(reported.f16 as Subnormals, values, scale, 2 ** -14);
      expect(got.map(unsigned)).toEqual(want.map(unsigned));
    });
  }
});

/** The sign of a flushed number is the device's. */
const unsigned = (x: number): number => (x === 0 ? 0 : x);
