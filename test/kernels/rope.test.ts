import { expect, test } from 'vitest';
import { ropeBwd, ropeFwd } from '../../src/kernels/rope.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { ropeBwdRef, ropeFwdRef, ropeTables } from '../ref/rope.ts';

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
  const bench = new Bench({ maxWorkgroups: 7 });
  const [turned, back] = [bench.input('turned', x), bench.input('back', x)];
  const call = { T, S, heads, D, cos: bench.input('cos', tables.cos), sin: bench.input('sin', tables.sin) };
  ropeFwd(bench.tape, { ...call, x: turned });
  ropeBwd(bench.tape, { ...call, x: back });
  await bench.run();
  const shape = { T, S, heads, D, ...tables };
  // two f32 products and a sum of numbers below 5, which may cancel
  const tolerance = { rtol: 0, atol: 1e-6 };
  expectClose('forward', await bench.read(turned), ropeFwdRef(x, shape), tolerance);
  expectClose('backward', await bench.read(back), ropeBwdRef(x, shape), tolerance);
});

test('an odd head dim is refused', () => {
  const bench = new Bench();
  const x = bench.output('x', [3]);
  expect(() => ropeFwd(bench.tape, { T: 1, S: 1, heads: 1, D: 3, x, cos: x, sin: x })).toThrow(/head dim 3 is odd/);
});
