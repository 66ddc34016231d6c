import { describe, expect, it } from 'vitest';
import { scaleTiny } from '../../src/kernels/subnormal.ts';
import { itFloat16, packHalves, toHalves, unpackHalves } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { f16Value } from '../ref/nf4.ts';

/** A device may keep a subnormal or make it zero; any other value is wrong. */
function expectKeptOrZero(got: number, want: number): void {
  expect([want, 0]).toContain(Math.abs(got));
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

  it('keeps or flushes f32 subnormals, and leaves the smallest normal number', async () => {
    const bench = new Bench();
    const x = Float32Array.of(2 ** -126, 2 ** -127, 2 ** -149);
    const y = bench.output('y', [3]);
    scaleTiny(bench.tape, { x: bench.input('x', x), y, scale: 1 });
    await bench.run();
    const got = await bench.read(y);
    expect(got[0]).toBe(2 ** -126);
    expectKeptOrZero(got[1]!, 2 ** -127);
    expectKeptOrZero(got[2]!, 2 ** -149);
  });

  itFloat16('multiplies f16 numbers and keeps or flushes their subnormals', async () => {
    const bench = new Bench();
    const values = [1.5, -3, 2 ** -14, 2 ** -15, 2 ** -24];
    const x = bench.input('x', toHalves(values), [5], { dtype: 'f16' });
    const y = bench.input('y', packHalves(values.map(() => 0x7e00)), [5], { dtype: 'f16' });
    scaleTiny(bench.tape, { x, y, scale: 1 });
    await bench.run();
    const got = unpackHalves(await bench.readU32(y), 5).map(f16Value);
    expect(got.slice(0, 3)).toEqual(values.slice(0, 3));
    expectKeptOrZero(got[3]!, 2 ** -15);
    expectKeptOrZero(got[4]!, 2 ** -24);
  });
});
