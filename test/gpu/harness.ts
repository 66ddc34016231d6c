/** One device for all GPU tests of a file, and a bench to run a few recorded dispatches on it. A validation error fails the test. */
import { afterAll } from 'vitest';
import type { Device } from '../../src/gpu/device.ts';
import { alignUp, type DeviceProfile } from '../../src/gpu/device-profile.ts';
import { Machine } from '../../src/gpu/machine.ts';
import type { DispatchCall } from '../../src/gpu/recorder.ts';
import type { Tape } from '../../src/gpu/tape.ts';
import { bytesOf, type Dtype, Tensor } from '../../src/gpu/tensor.ts';
import { closeDevice, openDevice } from '../../src/node/device.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { packStepScalars, STEP_BYTES, type StepScalars } from '../../src/train/step-scalars.ts';

/** The tests' device: NIBBLE_TEST_DEVICE, or whatever the machine has. NIBBLE_TEST_UNCHECKED=1 opens it as runs do, without bounds checks. */
export const device: Device = await openDevice({
  device: (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice,
  unchecked: process.env.NIBBLE_TEST_UNCHECKED === '1',
});
afterAll(() => closeDevice(device));

export const DEFAULT_STEP: StepScalars = {
  lr: 1e-3,
  bias1: 1,
  sqrt_bias2: 1,
  inv_tokens: 1,
  loss_scale: 1,
  step: 0,
  micro: 0,
  seed: 42,
};

const VECTOR_BYTES = 16;
/** What lies behind the end of a tensor, within its last vector. */
const BEYOND = 0xdeadbeef;

/** The device's profile with these changes; limits that are not named stay. */
export function profileWith(changes: Partial<DeviceProfile> = {}, maxWorkgroups?: number): DeviceProfile {
  const limits = {
    ...device.profile.limits,
    ...(maxWorkgroups !== undefined && { maxComputeWorkgroupsPerDimension: maxWorkgroups }),
    ...changes.limits,
  };
  return { ...device.profile, ...changes, limits };
}

type Data = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

function dtypeOf(data: Data): Dtype {
  return data instanceof Float32Array ? 'f32' : data instanceof Uint32Array ? 'u32' : 'i32';
}

type BenchOptions = {
  /** What differs from the device's own profile: small limits, a tier. */
  readonly profile?: Partial<DeviceProfile>;
  readonly maxWorkgroups?: number;
  readonly step?: Partial<StepScalars>;
  /** Bindings, by their names in the shader, that this test gives more than the kernel touches. */
  readonly spare?: readonly string[];
};

/** Buffers, a tape, one run, and the results. */
export class Bench {
  readonly machine: Machine;
  readonly tape: Tape;
  /** Tensors that end within a vector, whose rest a kernel could write by mistake: a binding has whole vectors. */
  readonly #padded: { readonly whole: Tensor; readonly from: number }[] = [];
  /** The word in which kernels raise flags; 0 at first. */
  readonly flags: Tensor;

  constructor(options: BenchOptions = {}) {
    this.machine = Machine.on(device, profileWith(options.profile, options.maxWorkgroups));
    this.flags = this.machine.flags;
    this.machine.write(this.flags, Uint32Array.of(0));
    const step = stepTensor(this.machine);
    const scalars = new ArrayBuffer(STEP_BYTES);
    packStepScalars({ ...DEFAULT_STEP, ...options.step }, scalars);
    this.machine.write(step, new Uint8Array(scalars));
    this.tape = this.machine.tape({ step });
    const { dispatch } = this.tape;
    this.tape.dispatch = (call) => {
      requireWhole(call, options.spare ?? []);
      dispatch.call(this.tape, call);
    };
  }

  /** A resident tensor with these values. */
  input(
    label: string,
    data: Data,
    shape: readonly number[] = [data.length],
    options: { requiresGrad?: boolean; dtype?: Dtype } = {},
  ): Tensor {
    const { dtype = dtypeOf(data), requiresGrad = false } = options;
    const elements = shape.reduce((product, n) => product * n, 1);
    const bytes = bytesOf(dtype, elements);
    const storage = this.machine.residents.storage({
      label,
      category: 'activations',
      bytes: alignUp(bytes, VECTOR_BYTES),
    });
    const whole = new Tensor({ label, shape: [storage.bytes / 4], dtype: 'u32', storage });
    const words = new Uint32Array(storage.bytes / 4).fill(BEYOND);
    new Uint8Array(words.buffer).set(new Uint8Array(data.buffer, data.byteOffset, Math.min(data.byteLength, bytes)));
    this.machine.write(whole, words);
    if (storage.bytes > bytes) this.#padded.push({ whole, from: Math.ceil(bytes / 4) });
    return new Tensor({ label, shape, dtype, storage, requiresGrad });
  }

  /** A resident f32 tensor full of NaN: an element that no kernel wrote fails every comparison. */
  output(label: string, shape: readonly number[]): Tensor {
    return this.input(label, new Float32Array(shape.reduce((p, n) => p * n, 1)).fill(Number.NaN), shape);
  }

  /** Plans, runs once (or `times`) inside error scopes. */
  async run(times = 1): Promise<void> {
    await this.machine.runOnce({ name: 'test', commands: this.tape.commands }, times);
    for (const { whole, from } of this.#padded) {
      const words = new Uint32Array(await this.machine.read(whole)).subarray(from);
      if (words.some((word) => word !== BEYOND)) throw new Error(`a kernel wrote behind the end of ${whole.label}`);
    }
  }

  async read(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array(await this.machine.read(tensor));
  }

  async readU32(tensor: Tensor): Promise<Uint32Array<ArrayBuffer>> {
    return new Uint32Array(await this.machine.read(tensor));
  }
}

/** The tensors of a test are as large as the kernel needs: a host half that asks for less would let a short one pass. */
function requireWhole({ name, buffers }: DispatchCall, spare: readonly string[]): void {
  for (const [binding, value] of Object.entries(buffers)) {
    if (!Array.isArray(value) || spare.includes(binding)) continue;
    const [tensor, elements] = value as readonly [Tensor, number];
    if (tensor.elements > elements)
      throw new Error(`${name} asks for ${elements} elements of ${binding}, the test gave ${tensor.elements}`);
  }
}

/** The ambient binding that the trainer's kernels read. */
export function stepTensor({ residents }: Machine): Tensor {
  const shape = [STEP_BYTES / 4];
  return residents.tensor({ label: 'step', shape, dtype: 'u32', category: 'staging', usage: 'uniform' });
}

/** The ambient bindings of kernels with a cache: where each sequence stands, its tokens that count, its adapter, and its pages. */
export function sequencesAt(
  bench: Bench,
  rows: readonly { readonly first: number; readonly count?: number; readonly adapter?: number }[],
  pages: readonly (readonly number[])[] = rows.map(() => [0]),
): { readonly cursor: Tensor; readonly pages: Tensor } {
  const words = rows.flatMap(({ first, count = 1, adapter = 0 }) => [first, count, adapter, 0]);
  return {
    cursor: bench.input('cursor', Uint32Array.from(words)),
    pages: bench.input('pages', Uint32Array.from(pages.flat())),
  };
}
