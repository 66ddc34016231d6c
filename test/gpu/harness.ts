/** One device for all GPU tests of a file, and a bench to run a few recorded dispatches on it. A validation error fails the test. */
import { afterAll } from 'vitest';
import { type Allocation, GpuAllocator } from '../../src/gpu/allocator.ts';
import { Arena } from '../../src/gpu/arena.ts';
import type { Device } from '../../src/gpu/device.ts';
import type { DeviceProfile } from '../../src/gpu/device-profile.ts';
import { Ledger } from '../../src/gpu/ledger.ts';
import { makePlan } from '../../src/gpu/plan.ts';
import { Program, preparePlan } from '../../src/gpu/program.ts';
import { Residents } from '../../src/gpu/residents.ts';
import { Tape } from '../../src/gpu/tape.ts';
import type { Dtype, Tensor } from '../../src/gpu/tensor.ts';
import { Readback, upload } from '../../src/gpu/transfer.ts';
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

/** Buffers, a tape, one run, and the results. `profile` overrides inject small limits. */
export class Bench {
  readonly residents: Residents;
  readonly tape: Tape;
  /** The word in which kernels raise flags; 0 at first. */
  readonly flags: Tensor;
  readonly #allocator: GpuAllocator;
  readonly #step: Tensor;

  constructor(options: { profile?: Partial<DeviceProfile>; maxWorkgroups?: number; step?: Partial<StepScalars> } = {}) {
    this.#allocator = new GpuAllocator(device.gpu, new Ledger());
    this.residents = new Residents(this.#allocator);
    this.#step = this.residents.tensor({
      label: 'step',
      shape: [STEP_BYTES / 4],
      dtype: 'u32',
      category: 'staging',
      usage: 'uniform',
    });
    const scalars = new ArrayBuffer(STEP_BYTES);
    packStepScalars({ ...DEFAULT_STEP, ...options.step }, scalars);
    upload(device, this.#at(this.#step), 0, new Uint8Array(scalars));
    const profile = profileWith(options.profile, options.maxWorkgroups);
    this.flags = this.input('flags', Uint32Array.of(0));
    this.tape = new Tape({ profile, shaders: device.shaders, step: this.#step, flags: this.flags });
  }

  /** A resident tensor with these values. */
  input(
    label: string,
    data: Data,
    shape: readonly number[] = [data.length],
    options: { requiresGrad?: boolean; dtype?: Dtype } = {},
  ): Tensor {
    const { dtype = dtypeOf(data), requiresGrad = false } = options;
    const tensor = this.residents.tensor({ label, shape, dtype, category: 'activations', requiresGrad });
    upload(device, this.#at(tensor), 0, data);
    return tensor;
  }

  /** A resident f32 tensor full of NaN: an element that no kernel wrote fails every comparison. */
  output(label: string, shape: readonly number[]): Tensor {
    return this.input(label, new Float32Array(shape.reduce((p, n) => p * n, 1)).fill(Number.NaN), shape);
  }

  /** Plans, runs once (or `times`) inside error scopes. */
  async run(times = 1): Promise<void> {
    const plan = makePlan('test', this.tape.commands);
    const arena = new Arena(this.#allocator, [plan]);
    const prepared = preparePlan(plan, this.#allocator);
    const program = await Program.compile(device, prepared, { residents: this.residents, arena });
    await device.guarded('run', async () => {
      for (let i = 0; i < times; i++) program.run();
      await device.gpu.queue.onSubmittedWorkDone();
    });
    device.throwIfFailed();
  }

  async read(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array((await this.#bytes(tensor)).buffer);
  }

  async readU32(tensor: Tensor): Promise<Uint32Array<ArrayBuffer>> {
    return new Uint32Array((await this.#bytes(tensor)).buffer);
  }

  async #bytes(tensor: Tensor): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = Math.ceil(tensor.bytes / 4) * 4;
    const readback = new Readback(this.#allocator, 'test.readback', bytes);
    const out = await readback.read(device, this.#at(tensor), tensor.byteOffset, bytes);
    this.#allocator.free(readback.staging);
    return out;
  }

  #at(tensor: Tensor): Allocation {
    return this.residents.allocationOf(tensor.storage);
  }
}
