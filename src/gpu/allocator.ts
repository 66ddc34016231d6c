/** The only file that calls createBuffer. Every buffer is entered into the ledger with its label and category. */
import { DeviceError } from '../errors.ts';
import type { Category } from './category.ts';
import { alignUp } from './device-profile.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';

export type BufferRequest = {
  readonly label: string;
  readonly category: Category;
  /** Bytes the contents need; the buffer may be larger by alignment. */
  readonly bytes: number;
  /** Padding between tensors within those bytes, counted as alignment instead of under the category. */
  readonly paddingBytes?: number;
  readonly usage?: 'storage' | 'uniform' | 'readback' | 'query';
};

/** A buffer, or in an estimate only the memory of one. */
export type Allocation = { readonly entry: LedgerEntry; readonly sizeBytes: number; readonly buffer: GPUBuffer | null };

export interface Allocator {
  readonly ledger: Ledger;
  allocate(request: BufferRequest): Allocation;
  free(allocation: Allocation): void;
}

/** Buffer sizes are multiples of 16, so that any of them can be read as vec4. */
const SIZE_ALIGNMENT = 16;

function ledgerEntry(request: BufferRequest): { entry: LedgerEntry; sizeBytes: number } {
  const sizeBytes = Math.max(SIZE_ALIGNMENT, alignUp(request.bytes, SIZE_ALIGNMENT));
  const padding = request.paddingBytes ?? 0;
  const bytes = request.bytes - padding;
  return {
    sizeBytes,
    entry: { label: request.label, category: request.category, bytes, alignmentBytes: sizeBytes - bytes },
  };
}

function requireFits({ label }: BufferRequest, sizeBytes: number, max: number): void {
  if (sizeBytes <= max) return;
  throw new DeviceError(
    `${label} needs a buffer of ${sizeBytes} bytes, this device allows ${max}: use a shorter max_length, a smaller batch or a smaller model`,
  );
}

/** Only counts: the allocator of `nibble estimate`. */
export class DryAllocator implements Allocator {
  readonly ledger: Ledger;
  readonly #maxBufferBytes: number;

  /** @param maxBufferBytes maxBufferSize of the device that is planned for */
  constructor(ledger: Ledger, maxBufferBytes = Number.POSITIVE_INFINITY) {
    this.ledger = ledger;
    this.#maxBufferBytes = maxBufferBytes;
  }

  allocate(request: BufferRequest): Allocation {
    const { entry, sizeBytes } = ledgerEntry(request);
    requireFits(request, sizeBytes, this.#maxBufferBytes);
    this.ledger.add(entry);
    return { entry, sizeBytes, buffer: null };
  }

  free(allocation: Allocation): void {
    this.ledger.remove(allocation.entry);
  }
}

export class GpuAllocator implements Allocator {
  readonly ledger: Ledger;
  readonly #device: GPUDevice;

  constructor(device: GPUDevice, ledger: Ledger) {
    this.#device = device;
    this.ledger = ledger;
  }

  /** @throws DeviceError when the buffer exceeds the device's maxBufferSize. Out-of-memory arrives later, by the device's error scopes. */
  allocate(request: BufferRequest): Allocation {
    const { entry, sizeBytes } = ledgerEntry(request);
    requireFits(request, sizeBytes, this.#device.limits.maxBufferSize);
    const buffer = this.#device.createBuffer({
      label: request.label,
      size: sizeBytes,
      usage: usageFlags(request.usage),
    });
    this.ledger.add(entry);
    return { entry, sizeBytes, buffer };
  }

  free(allocation: Allocation): void {
    this.ledger.remove(allocation.entry);
    allocation.buffer?.destroy();
  }
}

function usageFlags(usage: BufferRequest['usage'] = 'storage'): number {
  if (usage === 'readback') return GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  if (usage === 'query') return GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
  const kind = usage === 'uniform' ? GPUBufferUsage.UNIFORM : GPUBufferUsage.STORAGE;
  return kind | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
}
