/** Every dispatch of a program is timed, also of one that needs more queries than a set holds. */
import { expect, test } from 'vitest';
import { GpuAllocator } from '../../src/gpu/allocator.ts';
import { Arena } from '../../src/gpu/arena.ts';
import { Ledger } from '../../src/gpu/ledger.ts';
import { makePlan } from '../../src/gpu/plan.ts';
import { chromeTrace, profileProgram } from '../../src/gpu/profiler.ts';
import { Program, preparePlan } from '../../src/gpu/program.ts';
import { addFwd } from '../../src/kernels/add.ts';
import { Bench, device } from './harness.ts';

const DISPATCHES = 37;

test('three sets of queries for 37 dispatches, and nothing left behind', async () => {
  expect(device.profile.timestampQuery, `${device.profile.name} has timestamp queries`).toBe(true);
  const bench = new Bench();
  const [a, b, y] = [
    bench.input('a', Float32Array.of(1)),
    bench.input('b', Float32Array.of(2)),
    bench.output('y', [1]),
  ] as const;
  for (let i = 0; i < DISPATCHES; i++) addFwd(bench.tape, { a, b, y });
  const ledger = new Ledger();
  const allocator = new GpuAllocator(device.gpu, ledger);
  const plan = makePlan('adds', bench.tape.commands);
  const prepared = preparePlan(plan, allocator);
  const memory = { residents: bench.machine.residents, arena: new Arena(allocator, [plan]) };
  const program = await Program.compile(device, prepared, memory);
  const before = ledger.currentBytes;
  const spans = await device.guarded('profile', () => profileProgram(device, allocator, program, 32));
  expect(spans).toHaveLength(DISPATCHES);
  for (const { label, startNs, endNs } of spans) {
    expect(label).toContain('add');
    expect(startNs).toBeGreaterThan(0);
    expect(endNs).toBeGreaterThanOrEqual(startNs);
  }
  expect(ledger.currentBytes).toBe(before);
  expect(chromeTrace(spans).traceEvents).toHaveLength(DISPATCHES);
});
