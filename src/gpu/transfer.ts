/** Bytes to the GPU and back. Reading back goes through one staging buffer that is made once. */
import { DeviceError } from '../errors.ts';
import type { Allocation, Allocator } from './allocator.ts';
import type { Device } from './device.ts';
import { bufferOf } from './program.ts';

/** Queue writes are cut to this, so that the driver's own staging stays small. */
const WRITE_BYTES = 16 * 2 ** 20;

/** Writes `data` (a multiple of 4 bytes) at `offset` of a buffer. */
export function upload(device: Device, to: Allocation, offset: number, data: ArrayBufferView<ArrayBuffer>): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
    device.gpu.queue.writeBuffer(bufferOf(to), offset + at, bytes, at, Math.min(WRITE_BYTES, bytes.length - at));
  }
}

/** Upper limit of uploads under way: the driver keeps a copy of each until the GPU has it. */
const MOST_PENDING_BYTES = 64 * 2 ** 20;

/** Many uploads in a row, such as a model's weights. They are copied at once; `room` is where to wait between them. */
export class Uploads {
  readonly #device: Device;
  readonly #mostBytes: number;
  /** Written since the last fence. */
  #open = 0;
  #fenced = 0;
  #fences: Promise<void>[] = [];

  constructor(device: Device, mostBytes = MOST_PENDING_BYTES) {
    this.#device = device;
    this.#mostBytes = mostBytes;
  }

  /** Writes as `upload` does. */
  write(to: Allocation, offset: number, data: ArrayBufferView<ArrayBuffer>): void {
    upload(this.#device, to, offset, data);
    this.#open += data.byteLength;
    // halves: one is on its way while the other is written
    if (this.#open >= this.#mostBytes / 2) this.#fence();
  }

  /** Resolves once another upload stays within the bound. @throws DeviceError when the device failed meanwhile */
  async room(): Promise<void> {
    while (this.#open + this.#fenced > this.#mostBytes && this.#fences.length > 0) await this.#fences[0];
    this.#device.throwIfFailed();
  }

  /** Resolves once the GPU has all that was written. @throws DeviceError */
  async finish(): Promise<void> {
    this.#fence();
    await Promise.all(this.#fences);
    this.#device.throwIfFailed();
  }

  #fence(): void {
    const bytes = this.#open;
    this.#open = 0;
    this.#fenced += bytes;
    const passed = this.#device.gpu.queue.onSubmittedWorkDone().then(
      () => undefined,
      () => undefined, // a lost device; `throwIfFailed` says so
    );
    const fence = passed.then(() => {
      this.#fenced -= bytes;
      this.#fences = this.#fences.filter((f) => f !== fence);
    });
    this.#fences.push(fence);
  }
}

/** Reads GPU memory through a staging buffer of fixed size. One read at a time. */
export class Readback {
  readonly staging: Allocation;

  /** @param bytes size of the staging buffer; larger reads take several round trips */
  constructor(allocator: Allocator, label: string, bytes: number) {
    this.staging = allocator.allocate({ label, category: 'staging', bytes, usage: 'readback' });
  }

  /** Copies `bytes` (a multiple of 4) from `offset` of a buffer. @throws DeviceError when the device was lost meanwhile */
  async read(device: Device, from: Allocation, offset: number, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const out = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += this.staging.sizeBytes) {
      const size = Math.min(this.staging.sizeBytes, bytes - at);
      const encoder = device.gpu.createCommandEncoder({ label: 'readback' });
      encoder.copyBufferToBuffer(bufferOf(from), offset + at, bufferOf(this.staging), 0, size);
      device.gpu.queue.submit([encoder.finish()]);
      out.set(new Uint8Array(await this.#mapped(device, size)), at);
    }
    return out;
  }

  /** Records a copy from byte `from` of a buffer to byte `to` of the staging buffer; `finish` waits for all that were recorded. */
  record(
    encoder: GPUCommandEncoder,
    source: Allocation,
    { from = 0, bytes, to }: { readonly from?: number; readonly bytes: number; readonly to: number },
  ): void {
    encoder.copyBufferToBuffer(bufferOf(source), from, bufferOf(this.staging), to, bytes);
  }

  async finish(device: Device, bytes: number): Promise<ArrayBuffer> {
    return this.#mapped(device, bytes);
  }

  /** As `finish`, into memory that is there already. @param timed runs the copy, and may measure it */
  async finishInto(
    device: Device,
    target: Uint8Array<ArrayBuffer>,
    timed: (copy: () => void) => void = (copy) => copy(),
  ): Promise<void> {
    await this.#withMapped(device, target.length, (mapped) => timed(() => target.set(new Uint8Array(mapped))));
  }

  #mapped(device: Device, size: number): Promise<ArrayBuffer> {
    return this.#withMapped(device, size, (mapped) => mapped.slice(0));
  }

  async #withMapped<T>(device: Device, size: number, take: (mapped: ArrayBuffer) => T): Promise<T> {
    const buffer = bufferOf(this.staging);
    try {
      await device.wait(buffer.mapAsync(GPUMapMode.READ, 0, size));
    } catch (error) {
      device.throwIfFailed();
      throw new DeviceError(`reading back from the GPU failed: ${(error as Error).message}`, { cause: error });
    }
    const taken = take(buffer.getMappedRange(0, size));
    buffer.unmap();
    device.throwIfFailed();
    return taken;
  }
}
