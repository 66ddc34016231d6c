/** Rows of three sequences, of which one has no adapter; two rows each. */
import { expect, test } from 'vitest';
import { adapterRank, adapterRows, adapterSelect } from '../../src/kernels/adapters.ts';
import { Bench, sequencesAt } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';

const ADAPTERS = [2, 0, 1];
const [S, T] = [2, 6];

function open() {
  const bench = new Bench({ maxWorkgroups: 7 });
  const rec = bench.machine.recorder(
    sequencesAt(
      bench,
      ADAPTERS.map((adapter) => ({ first: 0, adapter })),
    ),
  );
  const run = () => bench.machine.runOnce({ name: 'test', commands: rec.commands });
  return { bench, rec, run };
}
const adapterOf = (row: number): number => ADAPTERS[Math.floor(row / S)] as number;

test('columns of a row are scaled where its adapter owns them, and zero elsewhere', async () => {
  const { bench, rec, run } = open();
  const [owners, scales] = [Uint32Array.of(1, 1, 2, 2, 2), Float32Array.of(2, 2, 0.5, 0.5, 0.5)];
  const R = owners.length;
  const x = random(1).normal32(T * R);
  // what is not an adapter's may be anything: a zero times it would not be a zero
  x[0] = Number.NaN;
  const xa = bench.input('xa', x);
  adapterRank(rec, { T, S, R, xa, owners: bench.input('owners', owners), scales: bench.input('scales', scales) });
  await run();
  const want = x.map((value, i) =>
    owners[i % R] === adapterOf(Math.floor(i / R)) ? value * (scales[i % R] as number) : 0,
  );
  expect(await bench.read(xa)).toEqual(want);
});

test.each([
  [true, false],
  [false, true],
  [true, true],
])('rows are multiplied: %s, and shifted: %s, by the tables of their adapters', async (gains, biases) => {
  const { bench, rec, run } = open();
  const [N, ld] = [5, 8];
  const r = random(2);
  const [x, gain, bias] = [r.normal32(T * N), r.normal32(3 * ld), r.normal32(3 * ld)];
  const y = bench.input('y', x);
  const tables = {
    ...(gains && { gain: bench.input('gain', gain) }),
    ...(biases && { bias: bench.input('bias', bias) }),
  };
  adapterRows(rec, { T, S, N, ld, y, ...tables });
  await run();
  const got = await bench.read(y);
  for (let i = 0; i < T * N; i++) {
    const at = adapterOf(Math.floor(i / N)) * ld + (i % N);
    const want = (gains ? (gain[at] as number) : 1) * (x[i] as number) + (biases ? (bias[at] as number) : 0);
    expect(Math.abs((got[i] as number) - want)).toBeLessThan(1e-6);
  }
});

test('a row is taken where its sequence has the adapter', async () => {
  const { bench, rec, run } = open();
  const N = 3;
  const [x, before] = [random(3).normal32(T * N), random(4).normal32(T * N)];
  const y = bench.input('y', before);
  adapterSelect(rec, { T, S, N, adapter: 1, x: bench.input('x', x), y });
  await run();
  expect(await bench.read(y)).toEqual(
    before.map((old, i) => (adapterOf(Math.floor(i / N)) === 1 ? (x[i] as number) : old)),
  );
});
