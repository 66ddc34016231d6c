/** Commands on their way to the GPU in one submit: programs, and the copies around them. */
import type { Allocation } from './allocator.ts';
import type { Device } from './device.ts';
import { bufferOf, type Program } from './program.ts';
import type { Tensor } from './tensor.ts';
import type { Readback } from './transfer.ts';

/** The part of a machine that a submission needs. */
export type Submitter = {
  readonly device: Device;
  program(name: string): Program;
  allocationOf(tensor: Tensor): Allocation;
};

export class Submission {
  readonly #machine: Submitter;
  readonly #encoder: GPUCommandEncoder;

  constructor(machine: Submitter, label: string) {
    this.#machine = machine;
    this.#encoder = machine.device.gpu.createCommandEncoder({ label });
  }

  /** Runs a phase, `times` times. */
  run(name: string, times = 1): this {
    const program = this.#machine.program(name);
    for (let i = 0; i < times; i++) program.encode(this.#encoder);
    return this;
  }

  /** Copies `bytes` from the start of one resident tensor to the start of another. */
  copy(from: Tensor, to: Tensor, bytes: number): this {
    this.#encoder.copyBufferToBuffer(this.#buffer(from), from.byteOffset, this.#buffer(to), to.byteOffset, bytes);
    return this;
  }

  /** Zeroes the whole buffer of a resident tensor. */
  clear(tensor: Tensor): this {
    this.#encoder.clearBuffer(this.#buffer(tensor));
    return this;
  }

  /** Copies `bytes` of a resident tensor, from its byte `from`, to byte `to` of a staging buffer. */
  read(
    tensor: Tensor,
    { bytes, into, to, from = 0 }: { bytes: number; into: Readback; to: number; from?: number },
  ): this {
    into.record(this.#encoder, this.#machine.allocationOf(tensor), { from: tensor.byteOffset + from, bytes, to });
    return this;
  }

  /** Returns before the GPU is done. */
  submit(): void {
    this.#machine.device.gpu.queue.submit([this.#encoder.finish()]);
  }

  #buffer(tensor: Tensor): GPUBuffer {
    return bufferOf(this.#machine.allocationOf(tensor));
  }
}
