import { describe, expect, test } from 'vitest';
import type { DispatchCommand } from '../../src/gpu/command.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { ShaderLibrary } from '../../src/gpu/kernel.ts';
import { Tape } from '../../src/gpu/tape.ts';
import { type Storage, Tensor } from '../../src/gpu/tensor.ts';
import { thrown } from '../formats/files.ts';

const ADD = `
override WG: u32 = 64u;
struct Params { n: u32, shift: i32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> step: Step;
`;

function resident(label: string, elements: number): Tensor {
  const storage: Storage = { label, category: 'activations', bytes: 4 * elements, resident: true };
  return new Tensor({ label, shape: [elements], dtype: 'f32', storage });
}

const step = resident('step', 8);

function newTape(limits: Partial<DeviceProfile['limits']> = {}): Tape {
  const base = KNOWN_PROFILES.swiftshader as DeviceProfile;
  const profile = { ...base, limits: { ...base.limits, ...limits } };
  return new Tape({ profile, shaders: new ShaderLibrary(new Map([['add.wgsl', ADD]])), ambient: { step } });
}

const PARAMS = { n: 64, shift: -1, scale: 0.5 };
const call = (a: Tensor, b: Tensor, y: Tensor) => ({ name: 'add', params: PARAMS, buffers: { a, b, y }, threads: 64 });

describe('dispatch', () => {
  const [a, b, y] = [resident('a', 64), resident('b', 64), resident('y', 64)];

  test('binds by name at the index in the shader, the step scalars by themselves', () => {
    const tape = newTape();
    tape.dispatch(call(a, b, y));
    const command = tape.commands[0] as DispatchCommand;
    expect(command.bindings).toEqual([
      { index: 1, tensor: a, writable: false },
      { index: 2, tensor: b, writable: false },
      { index: 3, tensor: y, writable: true },
      { index: 4, tensor: step, writable: false },
    ]);
    const params = new DataView(command.params.buffer);
    expect([params.getUint32(0, true), params.getInt32(4, true), params.getFloat32(8, true)]).toEqual([64, -1, 0.5]);
    expect(command.params.length).toBe(12);
  });

  const wrong: [string, object, string][] = [
    ['a buffer left out', { buffers: { a, y } }, 'add: buffer names: missing [b], unknown []'],
    ['a buffer nobody knows', { buffers: { a, b, y, z: y } }, 'add: buffer names: missing [], unknown [z]'],
    ['a parameter left out', { params: { n: 1, shift: 0 } }, 'add: parameter names: missing [scale], unknown []'],
    ['a parameter nobody knows', { params: { ...PARAMS, m: 1 } }, 'add: parameter names: missing [], unknown [m]'],
    ['a fraction for an integer', { params: { ...PARAMS, n: 1.5 } }, 'parameter n is u32, got 1.5'],
    ['a negative number for u32', { params: { ...PARAMS, n: -1 } }, 'parameter n is u32, got -1'],
    ['NaN for an integer', { params: { ...PARAMS, n: Number.NaN } }, 'parameter n is u32, got NaN'],
    ['more than 32 bits', { params: { ...PARAMS, n: 2 ** 32 } }, 'parameter n is u32, got 4294967296'],
    ['a short buffer', { buffers: { a: [a, 65], b, y } }, 'add: a is a (64), needs 65 elements'],
    ['no invocation at all', { threads: 0 }, 'add: 0 invocations do not fit a grid'],
    ['a shader that is not there', { name: 'mul' }, 'mul: no shader of that name among add'],
  ];
  test.each(wrong)('%s is our bug', (_, change, message) => {
    const tape = newTape();
    const error = thrown(() => tape.dispatch({ ...call(a, b, y), ...change }));
    expect(error.name).toBe('KernelCallError');
    expect(error.message).toContain(message);
    expect(tape.commands).toEqual([]);
  });

  test('a binding beyond the limit is a DeviceError with both numbers; at the limit it passes', () => {
    newTape({ maxStorageBufferBindingSize: 256 }).dispatch(call(a, b, y));
    const error = thrown(() => newTape({ maxStorageBufferBindingSize: 255 }).dispatch(call(a, b, y)));
    expect(error.name).toBe('DeviceError');
    expect(error.message).toContain(
      'a needs one binding of 256 bytes, this device allows 255: use a shorter max_length',
    );
  });

  test('one buffer both read and written is refused, whatever the ranges', () => {
    expect(thrown(() => newTape().dispatch(call(a, y, y))).message).toBe('add: y and y share a buffer that it writes');
    // disjoint ranges do not help: WebGPU looks at whole buffers
    const whole = resident('whole', 128);
    const [head, tail] = [whole.slice(0, 64), whole.slice(64, 64)];
    expect(thrown(() => newTape().dispatch(call(head, b, tail))).name).toBe('KernelCallError');
    // reading one buffer twice is fine
    newTape().dispatch(call(a, a, y));
  });

  test('the grid is rounded up, and folded past the limit', () => {
    const grids = (maxComputeWorkgroupsPerDimension: number, threads: number) => {
      const tape = newTape({ maxComputeWorkgroupsPerDimension });
      tape.dispatch({ ...call(a, b, y), threads });
      return (tape.commands[0] as DispatchCommand).grid;
    };
    expect(grids(7, 1)).toEqual([1, 1]);
    expect(grids(7, 65)).toEqual([2, 1]);
    expect(grids(7, 7 * 64)).toEqual([7, 1]);
    expect(grids(7, 7 * 64 + 1)).toEqual([7, 2]);
    expect(grids(7, 49 * 64)).toEqual([7, 7]);
    expect(() => grids(7, 49 * 64 + 1)).toThrow('invocations do not fit a grid');
  });

  test('copies need equal sizes', () => {
    expect(() => newTape().copy(a, resident('short', 63))).toThrow('copy: a has 256 bytes, short 252');
  });
});

describe('tensors', () => {
  test('views start where a binding may', () => {
    const t = resident('t', 256).reshaped([8, 32]);
    expect([t.rows(2, 3).byteOffset, t.rows(2, 3).shape]).toEqual([256, [3, 32]]);
    expect(t.rows(0, 8)).toBe(t);
    expect(() => t.rows(1, 2)).toThrow('rows 1..3 of 8 start at byte 128, not at a multiple of 256');
    expect(() => t.rows(6, 3)).toThrow('t: has no rows 6..9 of 8');
    expect(() => t.slice(200, 57)).toThrow('has no elements 200..257 of 256');
    expect(() => t.reshaped([257])).toThrow('has no shape (257)');
  });

  test('a tensor larger than its storage is refused', () => {
    const { storage } = resident('t', 4);
    expect(() => new Tensor({ label: 'big', shape: [5], dtype: 'f32', storage })).toThrow('big: needs 20 bytes of 16');
  });
});

describe('gradients', () => {
  const grads = (tape: Tape, label: string) => tape.tensor(label, [4], { requiresGrad: true });

  test('the first writer stores, later ones add', () => {
    const tape = newTape();
    const x = grads(tape, 'x');
    expect(tape.hasGrad(x)).toBe(false);
    const first = tape.gradTarget(x);
    expect([first.accumulate, first.grad.label, first.grad.shape]).toEqual([false, 'd_x', [4]]);
    expect(tape.hasGrad(x)).toBe(true);
    const second = tape.gradTarget(x);
    expect([second.accumulate, second.grad]).toEqual([true, first.grad]);
    expect(tape.gradOf(x)).toBe(first.grad);
  });

  test('a gradient in place lies in the memory of its tensor, in f16, in rows as long', () => {
    const tape = newTape();
    const x = tape.tensor('x', [3, 8], { requiresGrad: true });
    const grad = tape.gradInPlace(x);
    expect([grad.label, grad.shape, grad.dtype, grad.bytes]).toEqual(['d_x', [3, 16], 'f16', x.bytes]);
    expect(grad.storage).toBe(x.storage);
    expect(tape.gradOf(x)).toBe(grad);
    expect(() => tape.gradInPlace(x)).toThrow('x: its gradient has a writer, and a place, already');
  });

  test('a bound gradient is always added to', () => {
    const tape = newTape();
    const [param, grad] = [grads(tape, 'param'), resident('grad', 4)];
    tape.bindGrad(param, grad);
    expect(tape.gradTarget(param)).toEqual({ grad, accumulate: true });
  });

  test('a gradient that nobody wrote cannot be read', () => {
    const tape = newTape();
    expect(() => tape.gradOf(grads(tape, 'x'))).toThrow('x: its gradient was never written');
  });

  test('closures run in reverse, only where a gradient arrived, and once', () => {
    const tape = newTape();
    const [x, y, z, unused] = ['x', 'y', 'z', 'unused'].map((l) => grads(tape, l)) as [Tensor, Tensor, Tensor, Tensor];
    const ran: string[] = [];
    const op = (name: string, from: Tensor, to: Tensor) =>
      tape.onBackward([to], () => {
        ran.push(name);
        tape.gradTarget(from);
      });
    op('first', x, y);
    op('unused', x, unused);
    op('second', y, z);
    tape.onBackward([tape.tensor('frozen', [4])], () => ran.push('frozen'));
    tape.gradTarget(z);
    tape.backward();
    tape.backward();
    expect(ran).toEqual(['second', 'first']);
    expect(tape.gradTarget(x).accumulate).toBe(true);
  });
});

describe('checkpoint', () => {
  const [a, b] = [resident('a', 64), resident('b', 64)];
  const labels = (tape: Tape) =>
    tape.commands.map((c) => (c as DispatchCommand).bindings.find((x) => x.writable)?.tensor.label);

  /** y = f(x) recorded as one dispatch; backward writes the gradient of x from that of y. */
  function op(tape: Tape, x: Tensor, label: string): Tensor {
    const y = tape.tensor(label, [64], { requiresGrad: true });
    tape.dispatch(call(x, b, y));
    tape.onBackward([y], () => tape.dispatch(call(tape.gradOf(y), y, tape.gradTarget(x).grad)));
    return y;
  }

  test('records the segment a second time, and backpropagates that one', () => {
    const tape = newTape();
    const x = tape.tensor('x', [64], { requiresGrad: true });
    tape.dispatch(call(a, b, x));
    const inner: Tensor[] = [];
    const y = tape.checkpoint(x, (input) => {
      inner.push(op(tape, input, 'inner'));
      return op(tape, inner.at(-1) as Tensor, 'y');
    });
    const dy = tape.gradTarget(y).grad;
    tape.dispatch(call(y, b, dy));
    tape.backward();
    expect(labels(tape)).toEqual(['x', 'inner', 'y', 'd_y', 'inner', 'y', 'd_inner', 'd_x']);
    // the activation that backward reads is the second one: the first need not live until then
    const [first, second] = inner as [Tensor, Tensor];
    expect(second).not.toBe(first);
    const read = (tape.commands.at(-1) as DispatchCommand).bindings.map((x) => x.tensor);
    expect(read).toContain(second);
    expect(read).not.toContain(first);
  });

  test('what was kept is neither computed nor allocated again; outside of a segment it is just made', () => {
    const tape = newTape();
    const x = tape.tensor('x', [64], { requiresGrad: true });
    let made = 0;
    const recordedOnce = (input: Tensor) => {
      const y = tape.once(() => {
        made++;
        const fresh = tape.tensor('kept', [64], { requiresGrad: true });
        tape.dispatch(call(input, b, fresh));
        return fresh;
      });
      tape.onBackward([y], () => tape.gradTarget(input));
      return y;
    };
    const values: Tensor[] = [];
    const y = tape.checkpoint(x, (input) => {
      values.push(recordedOnce(op(tape, input, 'cheap')), recordedOnce(input));
      return op(tape, values.at(-2) as Tensor, 'y');
    });
    tape.gradTarget(y);
    tape.backward();
    expect(made).toBe(2);
    expect([values[2], values[3]]).toEqual([values[0], values[1]]);
    expect(values[0]).not.toBe(values[1]);
    expect(labels(tape).filter((l) => l === 'kept' || l === 'cheap')).toEqual(['cheap', 'kept', 'kept', 'cheap']);
    tape.once(() => made++);
    expect(made).toBe(3);
  });

  test('a lent gradient of the output stays lent to its second recording', () => {
    const tape = newTape();
    const residual = tape.tensor('residual', [4], { requiresGrad: true });
    let again: Tensor | null = null;
    const branch = tape.checkpoint(residual, () => {
      again = tape.tensor('branch', [4], { requiresGrad: true });
      tape.onBackward([again], () => tape.gradTarget(residual));
      return again;
    });
    const y = tape.tensor('y', [4], { requiresGrad: true });
    tape.gradTarget(y);
    tape.onBackward([y], () => tape.passGrad(y, residual, branch));
    // the branch has not been read when its own closure writes into the gradient that it borrows
    expect(thrown(() => tape.backward()).message).toContain('residual: its gradient is lent');
  });
});

describe('passGrad', () => {
  /** y = residual + branch, both of which require a gradient unless said otherwise. */
  function sum(options: { residual?: boolean; branch?: boolean } = {}) {
    const tape = newTape();
    const residual = tape.tensor('residual', [4], { requiresGrad: options.residual ?? true });
    const branch = tape.tensor('branch', [4], { requiresGrad: options.branch ?? true });
    const y = tape.tensor('y', [4], { requiresGrad: true });
    return { tape, residual, branch, y, dy: tape.gradTarget(y).grad };
  }

  test('both take the gradient of y without a copy; later writers of the residual add to it', () => {
    const { tape, residual, branch, y, dy } = sum();
    tape.onBackward([branch], () => undefined);
    tape.onBackward([y], () => expect(tape.passGrad(y, residual, branch)).toBe(true));
    tape.backward();
    expect([tape.gradOf(residual), tape.gradOf(branch)]).toEqual([dy, dy]);
    expect(tape.gradTarget(residual)).toEqual({ grad: dy, accumulate: true });
    expect(tape.commands).toEqual([]);
  });

  test('writing the residual gradient before the branch has read it is refused', () => {
    const { tape, residual, branch, y } = sum();
    tape.onBackward([branch], () => tape.gradTarget(residual));
    tape.onBackward([y], () => tape.passGrad(y, residual, branch));
    const error = thrown(() => tape.backward());
    expect(error.name).toBe('KernelCallError');
    expect(error.message).toBe('residual: its gradient is lent to another tensor whose backward has not read it yet');
  });

  test('the loan ends with the closure of the branch', () => {
    const { tape, residual, branch, y } = sum();
    let reached = false;
    tape.onBackward([residual], () => undefined);
    // recorded before the branch, so run after it: what a norm in front of the branch does
    const normed = tape.tensor('normed', [4], { requiresGrad: true });
    tape.onBackward([normed], () => {
      reached = true;
      expect(tape.gradTarget(residual).accumulate).toBe(true);
    });
    tape.onBackward([branch], () => tape.gradTarget(normed));
    tape.onBackward([y], () => tape.passGrad(y, residual, branch));
    tape.backward();
    expect(reached).toBe(true);
  });

  test('a chain of residuals lends one storage twice: both branches have to have read it', () => {
    const { tape, residual, branch, y } = sum();
    const [start, inner] = ['start', 'inner'].map((l) => tape.tensor(l, [4], { requiresGrad: true })) as [
      Tensor,
      Tensor,
    ];
    const ran: string[] = [];
    // backward: y, residual, inner (which returns one loan), early (too soon), branch
    tape.onBackward([branch], () => ran.push('branch'));
    const early = tape.tensor('early', [4], { requiresGrad: true });
    tape.onBackward([early], () => tape.gradTarget(start));
    tape.onBackward([inner], () => {
      ran.push('inner');
      tape.gradTarget(early);
    });
    tape.onBackward([residual], () => tape.passGrad(residual, start, inner));
    tape.onBackward([y], () => tape.passGrad(y, residual, branch));
    expect(thrown(() => tape.backward()).message).toContain('start: its gradient is lent');
    expect(ran).toEqual(['inner']);
  });

  test('where the residual has a gradient already, the caller has to add', () => {
    const { tape, residual, branch, y, dy } = sum();
    const own = tape.gradTarget(residual).grad;
    expect(tape.passGrad(y, residual, branch)).toBe(false);
    expect(tape.gradOf(branch)).toBe(dy);
    expect(tape.gradTarget(residual)).toEqual({ grad: own, accumulate: true });
  });

  test('only one of the two requires a gradient: nothing is lent', () => {
    const frozenBranch = sum({ branch: false });
    expect(frozenBranch.tape.passGrad(frozenBranch.y, frozenBranch.residual, frozenBranch.branch)).toBe(true);
    expect(frozenBranch.tape.hasGrad(frozenBranch.branch)).toBe(false);
    expect(frozenBranch.tape.gradTarget(frozenBranch.residual).accumulate).toBe(true);
    const frozenResidual = sum({ residual: false });
    expect(frozenResidual.tape.passGrad(frozenResidual.y, frozenResidual.residual, frozenResidual.branch)).toBe(true);
    expect(frozenResidual.tape.hasGrad(frozenResidual.residual)).toBe(false);
    expect(frozenResidual.tape.gradOf(frozenResidual.branch)).toBe(frozenResidual.dy);
  });
});
