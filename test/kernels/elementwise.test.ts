import { describe, expect, test } from 'vitest';
import { accumulate } from '../../src/kernels/accumulate.ts';
import { addFwd } from '../../src/kernels/add.ts';
import { gluBwd, gluFwd } from '../../src/kernels/glu.ts';
import { splitBwd, splitFwd } from '../../src/kernels/split.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, expectSameBits, random } from '../ref/compare.ts';
import {
  addFwdRef,
  gegluBwdRef,
  gegluFwdRef,
  splitBwdRef,
  splitFwdRef,
  swigluBwdRef,
  swigluFwdRef,
} from '../ref/elementwise.ts';

// one, odd, vec4, more threads than 7 workgroups of 64
const SIZES = [1, 63, 64, 1001, 2048];

const GATED = {
  silu: { fwdRef: swigluFwdRef, bwdRef: swigluBwdRef },
  gelu_pytorch_tanh: { fwdRef: gegluFwdRef, bwdRef: gegluBwdRef },
};

describe.each(['silu', 'gelu_pytorch_tanh'] as const)('the gated unit of %s', (act) => {
  const { fwdRef, bwdRef } = GATED[act];

  test.each(SIZES)('forward and backward, %i elements', async (n) => {
    const r = random(n);
    // the ends, where an exp of the gate leaves the range of f32 on one side and vanishes on the other; and near 0
    const special = [0, -100, 100, 1e-4, -1e-6, 20, -20];
    const gate = r.normal32(n, 3).map((v, i) => special[i - 1] ?? v);
    const [up, dh] = [r.normal32(n), r.normal32(n)];
    const bench = new Bench({ maxWorkgroups: 7 });
    const inputs = { gate: bench.input('gate', gate), up: bench.input('up', up) };
    const [h, dgate, dup] = [bench.output('h', [n]), bench.output('dgate', [n]), bench.output('dup', [n])];
    gluFwd(bench.tape, { act, ...inputs, h });
    gluBwd(bench.tape, { act, ...inputs, dh: bench.input('dh', dh), dgate, dup });
    await bench.run();
    // f32 with an exp of a few ulp; the derivative's two terms cancel near its zero, so a floor beside the relative bound
    const tolerance = { rtol: 2e-6, atol: 1e-6 };
    expectClose('h', await bench.read(h), fwdRef(gate, up), tolerance);
    const want = bwdRef(gate, up, dh);
    expectClose('dgate', await bench.read(dgate), want.dgate, tolerance);
    expectClose('dup', await bench.read(dup), want.dup, tolerance);
  });

  test('lets NaN through', async () => {
    const bench = new Bench();
    const n = 4;
    const gate = bench.input('gate', Float32Array.of(Number.NaN, 1, 2, 3));
    const up = bench.input('up', new Float32Array(n).fill(1));
    const [h, dgate, dup] = [bench.output('h', [n]), bench.output('dgate', [n]), bench.output('dup', [n])];
    gluFwd(bench.tape, { act, gate, up, h });
    gluBwd(bench.tape, { act, gate, up, dh: up, dgate, dup });
    await bench.run();
    for (const t of [h, dgate, dup]) {
      const got = await bench.read(t);
      expect([...got].map(Number.isNaN), t.label).toEqual([true, false, false, false]);
    }
  });
});

// T, widths of the parts: one column, odd ones, vec4, past 7 workgroups of 64; one part that 4 does not divide among some
test.each([
  [1, [1, 1]],
  [3, [5, 2, 7]],
  [9, [8, 4, 4]],
  [70, [12, 20, 36]],
  [5, [4, 6, 4]],
] as const)('split of %i rows into %j columns, and back', async (T, parts) => {
  const width = parts.reduce((sum, n) => sum + n, 0);
  const x = random(T).normal32(T * width);
  const bench = new Bench({ maxWorkgroups: 7 });
  const [input, dx] = [bench.input('x', x), bench.output('dx', [T, width])];
  const bands = parts.map((columns, i) => {
    const band = { T, width, first: parts.slice(0, i).reduce((sum, n) => sum + n, 0), columns };
    const y = bench.output(`y${i}`, [T, columns]);
    splitFwd(bench.tape, { ...band, x: input, y });
    // the parts' gradients are the parts themselves: together they are x again
    splitBwd(bench.tape, { ...band, dy: y, dx });
    return { band, y };
  });
  await bench.run();
  for (const { band, y } of bands) {
    const part = splitFwdRef(x, band);
    expectSameBits(y.label, await bench.read(y), Float32Array.from(part));
    const kept = splitBwdRef(part, band);
    expect(kept.reduce((n, v) => n + Number(v !== 0), 0)).toBe(T * band.columns);
  }
  expectSameBits('dx', await bench.read(dx), x);
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
