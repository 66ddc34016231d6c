/**
 * Turns a recorded list into memory, programs and results. An estimate builds the same machine without a device, and then
 * its allocations are only counted.
 */
import { KernelCallError } from '../errors.ts';
import { type Allocation, type Allocator, DryAllocator, GpuAllocator } from './allocator.ts';
import type { Device } from './device.ts';
import type { DeviceProfile } from './device-profile.ts';
import type { ShaderLibrary } from './kernel.ts';
import { Ledger } from './ledger.ts';
import type { Plan } from './plan.ts';
import { PreparedPhases, type Recorded } from './prepared-phases.ts';
import { profileProgram, type Span } from './profiler.ts';
import type { Program } from './program.ts';
import { type Ambient, Recorder, type RecorderOptions } from './recorder.ts';
import { Residents } from './residents.ts';
import { Submission } from './submission.ts';
import { Tape } from './tape.ts';
import type { Tensor } from './tensor.ts';
import { Readback, upload } from './transfer.ts';

export type MachineTarget = {
  /** Null in an estimate: the ledger counts what would be made, and nothing can run. */
  readonly device: Device | null;
  /** The profile that plans are recorded for: the device's, or one with another tier or tighter limits. */
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
};

export type { Recorded } from './prepared-phases.ts';

/** Buffers that results are read back through, one after the other. */
export type Staging = { readonly buffers: number; readonly bytes: number };

export class Machine {
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
  readonly ledger = new Ledger();
  readonly residents: Residents;
  readonly #device: Device | null;
  readonly #allocator: Allocator;
  readonly #staging: Readback[] = [];
  readonly #readbacks: Readback[] = [];
  #phases: PreparedPhases | null = null;
  #flags: Tensor | null = null;
  #turn = 0;

  constructor({ device, profile, shaders }: MachineTarget) {
    this.#device = device;
    this.profile = profile;
    this.shaders = shaders;
    this.#allocator =
      device === null
        ? new DryAllocator(this.ledger, profile.limits.maxBufferSize)
        : new GpuAllocator(device.gpu, this.ledger);
    this.residents = new Residents(this.#allocator);
  }

  /** A machine on a device. @param profile what to record for, where that is not the device's own */
  static on(device: Device, profile: DeviceProfile = device.profile): Machine {
    return new Machine({ device, profile, shaders: device.shaders });
  }

  get device(): Device {
    if (this.#device === null) throw new KernelCallError(this.profile.name, 'has no device: an estimate cannot run');
    return this.#device;
  }

  /** The word in which kernels raise a bit for each failure (shaders/lib/flags.wgsl); allocated when first asked for. */
  get flags(): Tensor {
    this.#flags ??= this.residents.tensor({ label: 'flags', shape: [1], dtype: 'u32', category: 'staging' });
    return this.#flags;
  }

  /** Starts recording a phase of kernels alone. @param ambient bindings of the phase beside the flags */
  recorder(ambient: Ambient = {}): Recorder {
    return new Recorder(this.#recording(ambient));
  }

  /** Starts recording a phase of ops, whose backward can be recorded too. @param ambient as for `recorder` */
  tape(ambient: Ambient = {}): Tape {
    return new Tape(this.#recording(ambient));
  }

  #recording(ambient: Ambient): RecorderOptions {
    return { profile: this.profile, shaders: this.shaders, ambient: { flags: this.flags, ...ambient } };
  }

  /** Plans what was recorded and allocates what the plans need together: arena, parameters, staging. Once in a machine's life. */
  prepare(phases: readonly Recorded[], staging: Staging = { buffers: 0, bytes: 0 }): void {
    if (this.#phases !== null) throw new KernelCallError('machine', 'its phases are prepared already');
    for (let i = 0; i < staging.buffers; i++)
      this.#staging.push(new Readback(this.#allocator, `readback[${i}]`, staging.bytes));
    this.#phases = new PreparedPhases(this.#allocator, phases);
  }

  #requirePhases(): PreparedPhases {
    if (this.#phases === null) throw new KernelCallError('machine', 'no phase is prepared');
    return this.#phases;
  }

  /** The prepared plans, in their order. */
  get plans(): readonly Plan[] {
    return this.#requirePhases().plans;
  }

  /** Compiles every pipeline and builds every bind group; residents may still be on their way to the GPU. @throws DeviceError */
  async compile(): Promise<void> {
    await this.#requirePhases().compile(this.device, this.residents);
  }

  /** A compiled phase. */
  program(name: string): Program {
    return this.#requirePhases().program(name);
  }

  /** Starts a submission: commands that go to the GPU in one submit. */
  submission(label: string): Submission {
    return new Submission(this, label);
  }

  /** Runs a phase `times` times in one submit, inside error scopes, until the GPU is done. @throws DeviceError */
  async run(name: string, times = 1): Promise<void> {
    await this.#guarded(name, this.program(name), times);
  }

  /** Plans, compiles and runs a recording once, with memory of its own that is freed again. @throws DeviceError */
  async runOnce(recorded: Recorded, times = 1): Promise<void> {
    const phases = new PreparedPhases(this.#allocator, [recorded]);
    try {
      await phases.compile(this.device, this.residents);
      await this.#guarded(recorded.name, phases.program(recorded.name), times);
    } finally {
      phases.destroy();
    }
  }

  async #guarded(name: string, program: Program, times: number): Promise<void> {
    const { device } = this;
    await device.guarded(name, async () => {
      const encoder = device.gpu.createCommandEncoder({ label: name });
      for (let i = 0; i < times; i++) program.encode(encoder);
      device.gpu.queue.submit([encoder.finish()]);
      await device.wait(device.gpu.queue.onSubmittedWorkDone());
    });
    device.throwIfFailed();
  }

  /**
   * Runs phases once each, inside error scopes, so that drivers which compile at the first dispatch have done so. Yields the name
   * of each once it is done: on a software driver that can take a minute. @param before writes what the phase reads
   */
  async *warmUp(
    names: readonly string[],
    before: (name: string) => void = () => undefined,
  ): AsyncGenerator<string, void> {
    for (const name of names) {
      before(name);
      await this.#guarded(`warm-up of ${name}`, this.program(name), 1);
      yield name;
    }
  }

  /** The next staging buffer in turn: as many submissions as there are may be unread. */
  nextStaging(): Readback {
    const staging = this.#staging[this.#turn++ % this.#staging.length];
    if (staging === undefined) throw new KernelCallError('machine', 'was prepared without staging buffers');
    return staging;
  }

  /** Finds the buffer of a resident tensor. */
  allocationOf({ storage }: Tensor): Allocation {
    return this.residents.allocationOf(storage);
  }

  /** Writes a resident tensor. @param at byte within it */
  write(tensor: Tensor, data: ArrayBufferView<ArrayBuffer>, at = 0): void {
    upload(this.device, this.allocationOf(tensor), tensor.byteOffset + at, data);
  }

  /**
   * Reads a resident tensor, or `bytes` of it from its byte `from`, to the next multiple of 4 bytes, through the first staging
   * buffer or one for this read alone.
   */
  async read(tensor: Tensor, part: { readonly from?: number; readonly bytes?: number } = {}): Promise<ArrayBuffer> {
    const { from = 0 } = part;
    const bytes = Math.ceil((part.bytes ?? tensor.bytes - from) / 4) * 4;
    const [kept] = this.#staging;
    const staging = kept ?? new Readback(this.#allocator, `${tensor.label}.readback`, bytes);
    try {
      return (await staging.read(this.device, this.allocationOf(tensor), tensor.byteOffset + from, bytes)).buffer;
    } finally {
      if (kept === undefined) this.#allocator.free(staging.staging);
    }
  }

  /** Makes a staging buffer of the caller's own, for results that come back beside those of `nextStaging`. */
  readback(label: string, bytes: number): Readback {
    const readback = new Readback(this.#allocator, label, bytes);
    this.#readbacks.push(readback);
    return readback;
  }

  /** Measures the GPU time of every dispatch of some phases, run once each. @throws DeviceError */
  async profileRun(names: readonly string[]): Promise<Span[]> {
    const spans: Span[] = [];
    for (const name of names)
      for (const span of await profileProgram(this.device, this.#allocator, this.program(name))) spans.push(span);
    return spans;
  }

  destroy(): void {
    this.#phases?.destroy();
    this.residents.destroy();
    for (const { staging } of [...this.#staging.splice(0), ...this.#readbacks.splice(0)]) this.#allocator.free(staging);
  }
}
