import { expect, test } from 'vitest';
import { accumulate } from '../../src/kernels/accumulate.ts';
import { addFwd } from '../../src/kernels/add.ts';
import { swigluBwd, swigluFwd } from '../../src/kernels/swiglu.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { addFwdRef, swigluBwdRef, swigluFwdRef } from '../ref/elementwise.ts';

// one, odd, vec4, more threads than 7 workgroups of 64
const SIZES = [1, 63, 64, 1001, 2048];

test.each(SIZES)('swiglu forward and backward, %i elements', async (n) => {
  const r = random(n);
  // the ends, where exp(-gate) leaves the range of f32 on one side and vanishes on the other
  const gate = r.normal32(n, 3).map((v, i) => (i === 1 ? -100 : i === 2 ? 100 : v));
  const [up, dh] = [r.normal32(n), r.normal32(n)];
  const bench = new Bench({ maxWorkgroups: 7 });
  const inputs = { gate: bench.input('gate', gate), up: bench.input('up', up) };
  const [h, dgate, dup] = [bench.output('h', [n]), bench.output('dgate', [n]), bench.output('dup', [n])];
  swigluFwd(bench.tape, { ...inputs, h });
  swigluBwd(bench.tape, { ...inputs, dh: bench.input('dh', dh), dgate, dup });
  await bench.run();
  // f32 with an exp of a few ulp; 1 + gate*(1-s) cancels near gate = -1.28, so a floor beside the relative bound
  const tolerance = { rtol: 2e-6, atol: 1e-6 };
  expectClose('h', await bench.read(h), swigluFwdRef(gate, up), tolerance);
  const want = swigluBwdRef(gate, up, dh);
  expectClose('dgate', await bench.read(dgate), want.dgate, tolerance);
  expectClose('dup', await bench.read(dup), want.dup, tolerance);
});

test('swiglu lets NaN through', async () => {
  const bench = new Bench();
  const n = 4;
  const gate = bench.input('gate', Float32Array.of(Number.NaN, 1, 2, 3));
  const up = bench.input('up', new Float32Array(n).fill(1));
  const [h, dgate, dup] = [bench.output('h', [n]), bench.output('dgate', [n]), bench.output('dup', [n])];
  swigluFwd(bench.tape, { gate, up, h });
  swigluBwd(bench.tape, { gate, up, dh: up, dgate, dup });
  await bench.run();
  for (const t of [h, dgate, dup]) {
    const got = await bench.read(t);
    expect([...got].map(Number.isNaN), t.label).toEqual([true, false, false, false]);
  }
});

test.each(SIZES)('add and accumulate, %i elements', async (n) => {
  const [a, b] = [random(n).normal32(n), random(n + 1).normal32(n)];
  const bench = new Bench({ maxWorkgroups: 7 });
  const y = bench.output('y', [n]);
  const sum = bench.input('sum', b);
  const x = bench.input('a', a);
  addFwd(bench.tape, { a: x, b: bench.input('b', b), y });
  accumulate(bench.tape, { x, y: sum });
  await bench.run();
  const oneRounding = { rtol: 2 ** -24, atol: 0 };
  expectClose('add', await bench.read(y), addFwdRef(a, b), oneRounding);
  expectClose('accumulate', await bench.read(sum), addFwdRef(a, b), oneRounding);
});
