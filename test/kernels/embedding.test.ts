import { describe, expect, test } from 'vitest';
import { embeddingBwd, embeddingFwd } from '../../src/kernels/embedding.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { embeddingBwdRef, embeddingFwdRef } from '../ref/embedding.ts';

/** Widening and copying are exact. */
const EXACT = { rtol: 0, atol: 0 };
const ONE_ROUNDING = { rtol: 2 ** -24, atol: 0 };

/** Random 16-bit patterns, finite and normal in f16: exponents 1 to 30 of 31, which are ordinary bf16 numbers as well. */
function halves(n: number): Uint16Array {
  const r = random(n);
  const [sign, exponent, mantissa] = [r.integers(n, 2), r.integers(n, 30), r.integers(n, 1024)];
  return Uint16Array.from({ length: n }, (_, i) => (sign[i]! << 15) | ((exponent[i]! + 1) << 10) | mantissa[i]!);
}

const widen = {
  bf16: (bits: number) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!,
  f16: (bits: number) => (bits >> 15 ? -1 : 1) * (1 + (bits & 0x3ff) / 1024) * 2 ** (((bits >> 10) & 0x1f) - 15),
};

function packed(bits: Uint16Array): Uint32Array<ArrayBuffer> {
  const padded = new Uint16Array(Math.ceil(bits.length / 2) * 2);
  padded.set(bits);
  return new Uint32Array(padded.buffer);
}

// one element; rows that share a word of two halves; vectors of four; past the folded grid of 7 workgroups
const SIZES = [
  [1, 1, 1, 1],
  [5, 3, 4, Math.fround(1.3)],
  [7, 8, 9, 1],
  [67, 36, 50, Math.fround(7.1)],
] as const;

describe.each(SIZES)('embedding T=%i C=%i V=%i scale=%d', (T, C, V, scale) => {
  const ids = Uint32Array.from(random(T).integers(T, V));

  test('forward from f32, bf16 and f16', async () => {
    const f32 = random(1).normal32(V * C);
    const bits = halves(V * C);
    const bench = new Bench({ maxWorkgroups: 7 });
    const tables = [
      { table: bench.input('f32', f32, [V, C]), want: f32 },
      ...(['bf16', 'f16'] as const).map((dtype) => ({
        table: bench.input(dtype, packed(bits), [V, C], { dtype }),
        want: Float64Array.from(bits, widen[dtype]),
      })),
    ].map(({ table, want }) => ({ table, want, y: bench.output('y', [T, C]) }));
    const tokens = bench.input('ids', ids);
    for (const { table, y } of tables)
      embeddingFwd(bench.tape, { T, C, scale, row0: 0, rows: V, ids: tokens, table, y });
    await bench.run();
    expect(tables).toHaveLength(3);
    for (const { table, want, y } of tables)
      expectClose(
        table.label,
        await bench.read(y),
        embeddingFwdRef(ids, want, T, C, scale),
        scale === 1 ? EXACT : ONE_ROUNDING,
      );
  });

  test('backward adds to what is there, and leaves unnamed rows', async () => {
    const [dy, before] = [random(2).normal32(T * C), random(3).normal32(V * C)];
    const bench = new Bench({ maxWorkgroups: 7 });
    const dtable = bench.input('dtable', before, [V, C]);
    const call = { T, C, scale, row0: 0, rows: V, ids: bench.input('ids', ids), dy: bench.input('dy', dy) };
    embeddingBwd(bench.tape, { ...call, dtable });
    await bench.run();
    const want = embeddingBwdRef(ids, dy, T, C, V, scale).map((v, i) => v + before[i]!);
    // f32 sums of a handful of terms of size 1 to 3: a few roundings of 2^-24 each
    expectClose('dtable', await bench.read(dtable), want, { rtol: 0, atol: 2e-6 * scale });
  });
});

test('row shards together give what one table gives, forward and backward', async () => {
  const [T, C, V, cut] = [40, 12, 16, 5];
  const r = random(9);
  const [table, dy] = [r.normal32(V * C), r.normal32(T * C)];
  const ids = Uint32Array.from(r.integers(T, V));
  const bench = new Bench();
  const y = bench.output('y', [T, C]);
  const tokens = bench.input('ids', ids);
  const gradient = bench.input('dy', dy);
  const shards = [
    [0, cut],
    [cut, V - cut],
  ].map(([row0, rows]) => ({ row0: row0!, rows: rows!, dtable: bench.input('d', new Float32Array(rows! * C)) }));
  // the last shard first: a row that the earlier shard took for its own would be seen
  for (const { row0, rows, dtable } of shards.toReversed()) {
    const part = bench.input('shard', table.slice(row0 * C, (row0 + rows) * C), [rows, C]);
    embeddingFwd(bench.tape, { T, C, scale: 1, row0, rows, ids: tokens, table: part, y });
    embeddingBwd(bench.tape, { T, C, scale: 1, row0, rows, ids: tokens, dy: gradient, dtable });
  }
  await bench.run();
  expectClose('y', await bench.read(y), embeddingFwdRef(ids, table, T, C), EXACT);
  const want = embeddingBwdRef(ids, dy, T, C, V);
  for (const { row0, rows, dtable } of shards) {
    const slice = want.subarray(row0 * C, (row0 + rows) * C);
    expectClose(`dtable from ${row0}`, await bench.read(dtable), slice, { rtol: 0, atol: 4e-6 }); // sums of up to 8 terms
  }
});

test('an integer table is refused', () => {
  const bench = new Bench();
  const ids = bench.input('ids', Uint32Array.of(0));
  const call = { T: 1, C: 1, scale: 1, row0: 0, rows: 1, ids, table: ids, y: bench.output('y', [1]) };
  expect(() => embeddingFwd(bench.tape, call)).toThrow(/table is u32, wants f32, bf16 or f16/);
});
