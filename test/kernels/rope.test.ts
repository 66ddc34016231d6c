import { expect, test } from 'vitest';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { ropeBwd, ropeFwd } from '../../src/kernels/rope.ts';
import { Bench, sequencesAt } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { ropeBwdRef, ropeFwdRef, ropeTables } from '../ref/rope.ts';

// two f32 products and a sum of numbers below 5, which may cancel
const TOLERANCE = { rtol: 0, atol: 1e-6 };

// B, S, heads, D: one pair, an odd number of pairs, vec4, and more threads than 7 workgroups of 64
test.each([
  [1, 1, 1, 2],
  [2, 3, 1, 6],
  [2, 5, 3, 8],
  [3, 17, 3, 64],
] as const)('rope B=%i S=%i heads=%i D=%i, forward and backward', async (B, S, heads, D) => {
  const T = B * S;
  const x = random(D).normal32(T * heads * D);
  const tables = ropeTables(S + 2, D); // longer than the sequence, as a model's are
  const bench = new Bench({ spare: ['cos_table', 'sin_table'], maxWorkgroups: 7 });
  const [turned, back] = [bench.input('turned', x), bench.input('back', x)];
  const call = { T, S, heads, D, cos: bench.input('cos', tables.cos), sin: bench.input('sin', tables.sin) };
  ropeFwd(bench.tape, { ...call, x: turned });
  ropeBwd(bench.tape, { ...call, x: back });
  await bench.run();
  const shape = { T, S, heads, D, ...tables };
  expectClose('forward', await bench.read(turned), ropeFwdRef(x, shape), TOLERANCE);
  expectClose('backward', await bench.read(back), ropeBwdRef(x, shape), TOLERANCE);
});

// documents of 3 and 2 tokens, then 1 and 4; with D 6 and 8, so without and with vec4
test.each([6, 8])('positions that are given, D=%i; those of the row given explicitly change no bit', async (D) => {
  const [S, T, heads] = [5, 10, 3];
  const x = random(D).normal32(T * heads * D);
  const tables = ropeTables(S, D);
  const bench = new Bench({ spare: ['cos_table', 'sin_table'], maxWorkgroups: 7 });
  const ends = { cos: bench.input('cos', tables.cos), sin: bench.input('sin', tables.sin) };
  const call = { T, S, heads, D, ...ends };
  const restarting = Uint32Array.of(0, 1, 2, 0, 1, 0, 0, 1, 2, 3);
  const positions = bench.input('positions', restarting);
  const inOrder = bench.input(
    'in order',
    Uint32Array.from({ length: T }, (_, t) => t % S),
  );
  const names = ['turned', 'back', 'by row', 'by position'] as const;
  const [turned, back, byRow, byPosition] = names.map((name) => bench.input(name, x)) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  ropeFwd(bench.tape, { ...call, positions, x: turned });
  ropeBwd(bench.tape, { ...call, positions, x: back });
  ropeFwd(bench.tape, { ...call, x: byRow });
  ropeFwd(bench.tape, { ...call, positions: inOrder, x: byPosition });
  await bench.run();
  const shape = { T, S, heads, D, ...tables, positions: restarting };
  expectClose('forward', await bench.read(turned), ropeFwdRef(x, shape), TOLERANCE);
  expectClose('backward', await bench.read(back), ropeBwdRef(x, shape), TOLERANCE);
  expect(await bench.readU32(byPosition)).toEqual(await bench.readU32(byRow));
});

test('an odd head dim is refused', () => {
  const bench = new Bench({ spare: ['cos_table', 'sin_table'] });
  const x = bench.output('x', [3]);
  expect(() => ropeFwd(bench.tape, { T: 1, S: 1, heads: 1, D: 3, x, cos: x, sin: x })).toThrow(/head dim 3 is odd/);
});

// with D 6 and 8, so without and with vec4
test.each([6, 8])('tokens of sequences that stand apart turn as those of longer rows, D=%i', async (D) => {
  const [S, T, heads, reach] = [2, 4, 3, 9];
  const x = random(D).normal32(T * heads * D);
  const tables = ropeTables(reach, D);
  const bench = new Bench({ spare: ['cos_table', 'sin_table'], maxWorkgroups: 7 });
  const turned = bench.input('turned', x);
  const rec = bench.machine.recorder(sequencesAt(bench, [{ first: 5 }, { first: 0 }]));
  const call = { T, S, heads, D, cos: bench.input('cos', tables.cos), sin: bench.input('sin', tables.sin) };
  ropeFwd(rec, { ...call, atCursor: reach, x: turned });
  await bench.machine.runOnce({ name: 'decode', commands: rec.commands });
  const positions = [5, 6, 0, 1];
  expectClose('forward', await bench.read(turned), ropeFwdRef(x, { ...call, ...tables, positions }), TOLERANCE);
  expect(() => ropeFwd(rec, { ...call, atCursor: reach + 1, x: turned })).toThrow(/cos_table is cos/);
});
