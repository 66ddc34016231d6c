/** Rows of trained tokens: places, columns of logits and their gradients; with owners, three sequences of which one has no adapter. */
import { expect, test } from 'vitest';
import { tokenColumns, tokenColumnsBwd, tokenSlots } from '../../src/kernels/tokens.ts';
import { Bench, sequencesAt } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';

const ADAPTERS = [2, 0, 1];
const [S, T, V] = [2, 6, 11];
const INDICES = Uint32Array.of(7, 0, 10, 3);
const n = INDICES.length;
const IDS = Uint32Array.of(3, 1, 10, 7, 7, 0);

function open() {
  const bench = new Bench({ maxWorkgroups: 7 });
  const places = ADAPTERS.map((adapter) => ({ first: 0, adapter }));
  const rec = bench.machine.recorder(sequencesAt(bench, places));
  const run = () => bench.machine.runOnce({ name: 'test', commands: rec.commands });
  return { bench, rec, run, indices: bench.input('indices', INDICES) };
}
const isOwn = (row: number, adapter: number | null): boolean =>
  adapter === null || ADAPTERS[Math.floor(row / S)] === adapter;

test.each([null, 1, 2])('places of tokens, adapter %s', async (adapter) => {
  const { bench, rec, run, indices } = open();
  const slots = bench.input('slots', new Uint32Array(T).fill(99));
  const owner = adapter === null ? undefined : { adapter, S };
  tokenSlots(rec, { T, n, ids: bench.input('ids', IDS), indices, slots, owner });
  await run();
  const got = [...new Uint32Array(await bench.machine.read(slots))];
  expect(got).toEqual([...IDS].map((id, t) => (isOwn(t, adapter) && INDICES.includes(id) ? INDICES.indexOf(id) : n)));
});

test.each([null, 1])('columns of logits, adapter %s', async (adapter) => {
  const { bench, rec, run, indices } = open();
  const [x, before] = [random(1).normal32(T * n), random(2).normal32(T * V)];
  const y = bench.input('y', before);
  const owner = adapter === null ? undefined : { adapter, S };
  tokenColumns(rec, { T, V, n, indices, x: bench.input('x', x), y, owner });
  await run();
  const want = before.slice();
  for (let t = 0; t < T; t++)
    for (const [j, id] of INDICES.entries()) if (isOwn(t, adapter)) want[t * V + id] = x[t * n + j] as number;
  expect(await bench.read(y)).toEqual(want);
});

test('gradients of the columns are taken out', async () => {
  const { bench, rec, run, indices } = open();
  const before = random(3).normal32(T * V);
  const [x, y] = [bench.output('x', [T, n]), bench.input('y', before)];
  tokenColumnsBwd(rec, { T, V, n, indices, x, y });
  await run();
  const taken = Float32Array.from({ length: T * n }, (_, i) => {
    return before[Math.floor(i / n) * V + (INDICES[i % n] as number)] as number;
  });
  expect(await bench.read(x)).toEqual(taken);
  expect(await bench.read(y)).toEqual(before.map((value, i) => (INDICES.includes(i % V) ? 0 : value)));
});
