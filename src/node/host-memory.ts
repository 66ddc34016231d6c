/** Host memory for the state of an optimizer that pages, checked before a run takes any. */
import { freemem } from 'node:os';
import { sizeInWords } from '../config/bytes.ts';
import { DeviceError } from '../errors.ts';
import type { Estimate } from '../estimate/types.ts';
import { counted } from '../report/format.ts';

/** Bytes that this process may still take, by a container's limit or the machine's. */
export const freeHostBytes = (): number => Math.min(process.availableMemory(), freemem());

/** @throws DeviceError with the arithmetic where the pages of a state do not fit */
export function requireHostMemory({ state }: Pick<Estimate, 'state'>, free: number): void {
  const { gpuBytes, hostBytes } = state;
  if (hostBytes <= free) return;
  throw new DeviceError(
    `the optimizer's state is ${sizeInWords(gpuBytes + hostBytes)}: ${sizeInWords(gpuBytes)} on the GPU, and the other ` +
      `${sizeInWords(hostBytes)} (${hostBytes} bytes) need host memory, of which ${sizeInWords(free)} are free\n` +
      'Give a larger paged_optimizer_memory or max_gpu_memory, take optim: paged_adamw_8bit, a smaller lora_r, or end what else takes memory.',
  );
}

/** Says where a state lies; nothing where all of it stays on the GPU. */
export function pagingNotes({ state }: Pick<Estimate, 'state'>): string[] {
  const { gpuBytes, hostBytes, pages } = state;
  if (hostBytes === 0) return [];
  return [
    `optimizer state: ${sizeInWords(gpuBytes)} on the GPU, ${sizeInWords(hostBytes)} in host memory, in ${counted(pages, 'page')} that come and go in every step`,
  ];
}
