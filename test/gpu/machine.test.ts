/** One recorded list, on a device and without one; what a machine refuses; what it leaves behind. */
import { describe, expect, test } from 'vitest';
import { Machine } from '../../src/gpu/machine.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { accumulate } from '../../src/kernels/accumulate.ts';
import { addFwd } from '../../src/kernels/add.ts';
import { scaleTiny } from '../../src/kernels/subnormal.ts';
import { rejection, thrown } from '../formats/files.ts';
import { device } from './harness.ts';

const N = 100;
const STAGING = { buffers: 2, bytes: 4096 };

/** y = 2 x through a planned tensor, and sum += y as a phase of its own. */
function prepared(machine: Machine) {
  const make = (label: string): Tensor =>
    machine.residents.tensor({ label, shape: [N], dtype: 'f32', category: 'activations' });
  const [x, y, sum] = [make('x'), make('y'), make('sum')];
  const record = (name: string, write: (rec: Recorder) => void) => {
    const rec = machine.recorder();
    write(rec);
    return { name, commands: rec.commands };
  };
  const phases = [
    record('double', (rec) => {
      const middle = rec.tensor('middle', [N]);
      addFwd(rec, { a: x, b: x, y: middle });
      scaleTiny(rec, { x: middle, y, scale: 1 });
    }),
    record('sum', (rec) => accumulate(rec, { x: y, y: sum })),
  ];
  machine.prepare(phases, STAGING);
  return { x, y, sum };
}

const dry = () => new Machine({ device: null, profile: device.profile, shaders: device.shaders });

test('an estimate allocates what a run does, entry by entry, and cannot run', async () => {
  const [real, estimate] = [Machine.on(device), dry()];
  prepared(real);
  const { x } = prepared(estimate);
  expect(estimate.ledger.entries).toEqual(real.ledger.entries);
  expect(real.ledger.entries.map(({ label }) => label)).toEqual([
    'x',
    'y',
    'sum',
    'flags',
    'readback[0]',
    'readback[1]',
    'arena.activations[0]',
    'double.params',
    'sum.params',
  ]);
  expect((await rejection(estimate.compile())).message).toContain('has no device: an estimate cannot run');
  expect(thrown(() => estimate.write(x, new Float32Array(N))).name).toBe('KernelCallError');
  for (const machine of [real, estimate]) {
    machine.destroy();
    expect([machine.ledger.currentBytes, machine.ledger.liveCount]).toEqual([0, 0]);
  }
});

describe('phases', () => {
  test('run alone, together in one submit, and once without being prepared', async () => {
    const machine = Machine.on(device);
    const { x, y, sum } = prepared(machine);
    const values = Float32Array.from({ length: N }, (_, i) => i);
    machine.write(x, values);
    machine.write(sum, new Float32Array(N));
    await machine.compile();
    const warmed: string[] = [];
    for await (const name of machine.warmUp(['double'])) warmed.push(name);
    expect(warmed).toEqual(['double']);
    expect([...new Float32Array(await machine.read(y))]).toEqual([...values.map((v) => 2 * v)]);
    await machine.run('sum', 3);
    const into = machine.nextStaging();
    machine
      .submission('both')
      .run('double')
      .run('sum', 2)
      .copy(x, y, 8)
      .read(sum, { from: 4, bytes: 8, into, to: 16 })
      .clear(sum)
      .submit();
    // five times 2 x
    expect([...new Float32Array(await into.finish(device, 24), 16)]).toEqual([10, 20]);
    expect([...new Float32Array(await machine.read(sum))]).toEqual(new Array(N).fill(0));
    expect([...new Float32Array(await machine.read(y.slice(0, 3)))]).toEqual([0, 1, 4]);
    const before = machine.ledger.currentBytes;
    const rec = machine.recorder();
    accumulate(rec, { x, y: sum });
    await machine.runOnce({ name: 'extra', commands: rec.commands }, 2);
    expect([...new Float32Array(await machine.read(sum))]).toEqual([...values.map((v) => 2 * v)]);
    expect(machine.ledger.currentBytes).toBe(before);
    machine.destroy();
    expect(machine.ledger.liveCount).toBe(0);
  });

  test('are prepared once, and known by name', async () => {
    const machine = Machine.on(device);
    prepared(machine);
    expect(machine.plans.map(({ name }) => name)).toEqual(['double', 'sum']);
    expect(() => machine.prepare([])).toThrow('its phases are prepared already');
    await machine.compile();
    expect(() => machine.program('half')).toThrow('no program half among double, sum');
    machine.destroy();
    machine.destroy();
    expect(machine.plans.map(({ name }) => name)).toEqual(['double', 'sum']);
    expect(() => machine.program('double')).toThrow('no program double');
    expect(() => Machine.on(device).nextStaging()).toThrow('was prepared without staging buffers');
  });
});

test('a binding that the phase does not have is named, with those that it has', () => {
  const machine = dry();
  const step = machine.residents.tensor({
    label: 's',
    shape: [8],
    dtype: 'u32',
    category: 'staging',
    usage: 'uniform',
  });
  const [grad, metrics] = ['grad', 'metrics'].map((label) =>
    machine.residents.tensor({ label, shape: [64], dtype: 'f32', category: 'gradients' }),
  ) as [Tensor, Tensor];
  const call = {
    name: 'adamw',
    params: { n: 16, n_metrics: 0 },
    buffers: { p: grad, g: grad, m: grad, v: grad, metrics },
    threads: 64,
  };
  expect(thrown(() => machine.recorder({ cursor: step }).dispatch(call)).message).toBe(
    'adamw: binds step, which this phase does not have; its ambient bindings: [flags, cursor]',
  );
});
