import { describe, expect, it } from 'vitest';
import { DryAllocator } from '../../src/gpu/allocator.ts';
import { Ledger } from '../../src/gpu/ledger.ts';
import { makePlan } from '../../src/gpu/plan.ts';
import { preparePlan } from '../../src/gpu/program.ts';
import { accumulate } from '../../src/kernels/accumulate.ts';
import { addFwd } from '../../src/kernels/add.ts';
import { Bench, device } from './harness.ts';

const wave = (n: number, k: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * k) * 3);

describe('a recorded program', () => {
  for (const n of [1, 63, 64, 257, 1000]) {
    it(`runs two dependent dispatches over ${n} elements through an arena slot`, async () => {
      const bench = new Bench({ maxWorkgroups: 7 });
      const a = wave(n, 0.7);
      const b = wave(n, 0.3);
      const x = bench.input('a', a);
      const z = bench.input('b', b);
      const middle = bench.tape.tensor('middle', [n]);
      const y = bench.output('y', [n]);
      addFwd(bench.tape, { a: x, b: z, y: middle });
      addFwd(bench.tape, { a: middle, b: z, y });
      await bench.run();
      const want = a.map((v, i) => Math.fround(Math.fround(v + (b[i] as number)) + (b[i] as number)));
      expect([...(await bench.read(y))]).toEqual([...want]);
    });
  }

  it('runs again with the same result, and with one kernel in many places compiles it once', async () => {
    const bench = new Bench();
    const [x, sum] = [bench.input('x', Float32Array.of(1, 2, 3)), bench.input('sum', new Float32Array(3))];
    for (let i = 0; i < 5; i++) accumulate(bench.tape, { x, y: sum });
    await bench.run(4);
    expect([...(await bench.read(sum))]).toEqual([20, 40, 60]);
  });

  it('goes back to a pipeline that another one came after', async () => {
    const bench = new Bench();
    const [x, sum] = [bench.input('x', Float32Array.of(1, 2, 3)), bench.input('sum', new Float32Array(3))];
    const [y, z] = [bench.output('y', [3]), bench.output('z', [3])];
    addFwd(bench.tape, { a: x, b: x, y });
    accumulate(bench.tape, { x: y, y: sum });
    addFwd(bench.tape, { a: y, b: x, y: z });
    accumulate(bench.tape, { x: z, y: sum });
    accumulate(bench.tape, { x, y: sum });
    await bench.run();
    expect([...(await bench.read(z))]).toEqual([3, 6, 9]);
    expect([...(await bench.read(sum))]).toEqual([6, 12, 18]);
  });

  it('copies and clears in the order they were recorded, views at their offsets', async () => {
    const bench = new Bench();
    const values = Float32Array.from({ length: 128 }, (_, i) => i + 1);
    const x = bench.input('x', values);
    const y = bench.output('y', [256]);
    const kept = bench.tape.tensor('kept', [64]);
    const doubled = bench.output('doubled', [64]);
    addFwd(bench.tape, { a: x.slice(64, 64), b: x.slice(64, 64), y: doubled });
    bench.tape.copy(x.slice(64, 64), kept);
    bench.tape.clear(x.slice(64, 64));
    bench.tape.copy(kept, y.slice(128, 64));
    bench.tape.copy(x.slice(64, 64), y.slice(64, 64));
    addFwd(bench.tape, { a: kept, b: kept, y: y.slice(0, 64) });
    await bench.run();
    const half = [...values.slice(64)];
    const [zeros, nan] = [new Array(64).fill(0), new Array(64).fill(Number.NaN)];
    expect([...(await bench.read(y))]).toEqual([...half.map((v) => 2 * v), ...zeros, ...half, ...nan]);
    expect([...(await bench.read(x))]).toEqual([...values.slice(0, 64), ...zeros]);
    expect([...(await bench.read(doubled))]).toEqual(half.map((v) => 2 * v));
  });

  // 65,535 workgroups of 64 threads are 4,194,240: two rows of the grid, the second one short
  it('folds the grid past the real limit of workgroups', async () => {
    const limit = device.profile.limits.maxComputeWorkgroupsPerDimension;
    const n = limit * device.profile.workgroupSize + 777;
    const bench = new Bench();
    const x = bench.input(
      'x',
      Float32Array.from({ length: n }, (_, i) => i),
    );
    const y = bench.input('y', new Float32Array(n).fill(1));
    accumulate(bench.tape, { x, y });
    const command = bench.tape.commands[0];
    expect(command?.kind === 'dispatch' && command.grid).toEqual([limit, 2]);
    await bench.run();
    const got = await bench.read(y);
    // below 2^24 every integer is an f32
    const wrong = got.findIndex((v, i) => v !== i + 1);
    expect(wrong === -1 ? 'none' : `[${wrong}] is ${got[wrong]}`).toBe('none');
  });
});

describe('preparePlan', () => {
  it('stores equal parameters once, each at a multiple of 256, and counts them as workspace', () => {
    const bench = new Bench();
    const [a, b] = [64, 1000].map((n) => bench.input(`in${n}`, wave(n, 1))) as [never, never];
    const [y, z] = [bench.output('y', [64]), bench.output('z', [1000])];
    accumulate(bench.tape, { x: a, y });
    accumulate(bench.tape, { x: b, y: z });
    accumulate(bench.tape, { x: a, y });
    const ledger = new Ledger();
    const prepared = preparePlan(makePlan('two', bench.tape.commands), new DryAllocator(ledger));
    expect(prepared.paramOffsets).toEqual([0, 256, 0]);
    const at = (offset: number) => new DataView(prepared.paramBytes.buffer).getUint32(offset, true);
    // n counts vectors of four
    expect([prepared.paramBytes.length, at(0), at(256)]).toEqual([512, 16, 250]);
    expect(ledger.entries.map((e) => [e.label, e.category, e.bytes])).toEqual([['two.params', 'workspace', 512]]);
  });

  it('a plan without a dispatch still has a buffer to bind', () => {
    const prepared = preparePlan(makePlan('none', []), new DryAllocator(new Ledger()));
    expect(prepared.paramBytes.length).toBe(256);
  });
});
