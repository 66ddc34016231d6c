import { describe, expect, test } from 'vitest';
import { dropoutBwd, dropoutFwd } from '../../src/kernels/dropout.ts';
import { dropoutMask } from '../../src/kernels/philox.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, expectSameBits, random } from '../ref/compare.ts';

// words with high bits set, so that a signed or 16-bit slip in the WGSL twin shows
const STEP = { seed: 0xdeadbeef, step: 70_001, micro: 3 };
const op = 0x8000_0002;

describe.each([1, 3, 64, 1003, 4096])('dropout of %i elements', (n) => {
  const x = random(n)
    .normal32(n)
    .map((v) => (v === 0 ? 1 : v));

  test.each([0, 0.1, 0.5])('p=%d keeps what the TypeScript twin keeps, and scales it', async (p) => {
    const bench = new Bench({ maxWorkgroups: 7, step: STEP });
    const y = bench.output('y', [n]);
    const input = bench.input('x', x);
    const stored = bench.output('dx', [n]);
    const added = bench.input('added', x);
    dropoutFwd(bench.tape, { p, op, x: input, y });
    dropoutBwd(bench.tape, { p, op, dy: input, dx: { grad: stored, accumulate: false } });
    dropoutBwd(bench.tape, { p, op, dy: input, dx: { grad: added, accumulate: true } });
    await bench.run();
    const mask = dropoutMask({ ...STEP, op }, p, n);
    const got = await bench.read(y);
    expect(got.map((v) => (v === 0 ? 0 : 1))).toEqual(Float32Array.from(mask));
    const scale = Math.fround(1 / (1 - p));
    expectSameBits(
      'y',
      got,
      x.map((v, i) => (mask[i] === 1 ? v * scale : 0)),
    ); // one rounding, in f32 on both sides
    expectSameBits('dx', await bench.read(stored), got);
    const sum = Float64Array.from(x, (v, i) => v + got[i]!);
    // a product and a sum, which a driver may fuse
    expectClose('added', await bench.read(added), sum, { rtol: 2 ** -23, atol: 0 });
  });
});

test('each part of the site changes the mask as in the twin', async () => {
  const n = 512;
  const x = new Float32Array(n).fill(1);
  const base = { seed: 1, step: 2, micro: 3 };
  const sites = [base, { ...base, seed: 9 }, { ...base, step: 9 }, { ...base, micro: 9 }];
  const seen = new Set<string>();
  for (const site of sites) {
    const bench = new Bench({ step: site });
    const ys = [0, 1].map((op) => ({ op, y: bench.output('y', [n]) }));
    for (const { op, y } of ys) dropoutFwd(bench.tape, { p: 0.5, op, x: bench.input('x', x), y });
    await bench.run();
    for (const { op, y } of ys) {
      const got = await bench.read(y);
      expectSameBits(
        'y',
        got,
        Float32Array.from(dropoutMask({ ...site, op }, 0.5, n), (m) => 2 * m),
      );
      seen.add(got.join());
    }
  }
  expect(seen.size).toBe(2 * sites.length);
});

test('p outside [0, 1) is refused', () => {
  const bench = new Bench();
  const [x, y] = [bench.output('x', [4]), bench.output('y', [4])];
  for (const p of [1, -0.1, Number.NaN]) {
    expect(() => dropoutFwd(bench.tape, { p, op: 0, x, y })).toThrow(/wants 0 <= p < 1/);
  }
});
