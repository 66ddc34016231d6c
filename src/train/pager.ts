/**
 * Pages of an optimizer's state: each comes from host memory into a window on the GPU, is updated there and goes back. With two
 * windows one page is copied while the GPU works on another, and the first pages of a step while it computes gradients.
 */
import type { Machine } from '../gpu/machine.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Readback } from '../gpu/transfer.ts';
import type { HeldSpan } from './state-layout.ts';

export type Page = { readonly index: number; readonly spans: readonly HeldSpan[]; readonly bytes: number };

/** What paging moved and took since a run began. */
export type PagingTraffic = {
  readonly toGpuBytes: number;
  readonly toHostBytes: number;
  /** Time of this thread in copies, and in waiting for a window. */
  readonly copyMs: number;
  readonly waitMs: number;
};

export const pagePlan = (index: number): string => `update page ${index}`;

export class Pager {
  readonly pages: readonly Page[];
  readonly #machine: Machine;
  readonly #windows: readonly Tensor[];
  readonly #staging: readonly Readback[];
  /** Settle when the window is free and its last page is back in host memory. */
  readonly #back: Promise<void>[];
  #memory: Uint8Array<ArrayBuffer>[] | null = null;
  #moved = { toGpuBytes: 0, toHostBytes: 0, copyMs: 0, waitMs: 0 };

  constructor(machine: Machine, windows: readonly Tensor[], pages: readonly Page[]) {
    this.#machine = machine;
    this.#windows = windows;
    this.pages = pages;
    this.#staging = windows.map(({ bytes }, i) => machine.readback(`paging[${i}]`, bytes));
    this.#back = windows.map(() => Promise.resolve());
  }

  get hostBytes(): number {
    return this.pages.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get traffic(): PagingTraffic {
    return { ...this.#moved };
  }

  /** The host's copy of a page, which is allocated when first asked for: an estimate does not. */
  memory(index: number): Uint8Array<ArrayBuffer> {
    this.#memory ??= this.pages.map(({ bytes }) => new Uint8Array(bytes));
    return this.#memory[index] as Uint8Array<ArrayBuffer>;
  }

  /** Zeroes all pages. No step may be unread. */
  clear(): void {
    for (const { index } of this.pages) this.memory(index).fill(0);
    this.#moved = { toGpuBytes: 0, toHostBytes: 0, copyMs: 0, waitMs: 0 };
  }

  /** Zeroes the windows: another page's codes, read as numbers, would be what no state is. */
  blank(): void {
    const submission = this.#machine.submission('blank');
    for (const window of this.#windows) submission.clear(window);
    submission.submit();
  }

  /** Submits the update of every page; resolves when all are submitted, and the last may still be on their way back. @throws DeviceError */
  async run(): Promise<void> {
    for (const { index, bytes } of this.pages) {
      const at = index % this.#windows.length;
      const window = this.#windows[at] as Tensor;
      await this.#waiting(this.#back[at] as Promise<void>);
      const memory = this.memory(index);
      this.#copying(() => this.#machine.write(window, memory));
      this.#moved.toGpuBytes += bytes;
      const into = this.#staging[at] as Readback;
      this.#machine.submission(pagePlan(index)).run(pagePlan(index)).read(window, { bytes, into, to: 0 }).submit();
      const back = this.#fetch(into, memory);
      // awaited with the window's next page, or by `settled`; until then a failure must not count as unhandled
      back.catch(() => undefined);
      this.#back[at] = back;
    }
  }

  /** Resolves when every page is back in host memory. @throws DeviceError */
  async settled(): Promise<void> {
    await this.#waiting(Promise.all(this.#back));
  }

  async #fetch(from: Readback, memory: Uint8Array<ArrayBuffer>): Promise<void> {
    await from.finishInto(this.#machine.device, memory, (copy) => this.#copying(copy));
    this.#moved.toHostBytes += memory.length;
  }

  #copying(copy: () => void): void {
    const started = performance.now();
    copy();
    this.#moved.copyMs += performance.now() - started;
  }

  async #waiting(done: Promise<unknown>): Promise<void> {
    const started = performance.now();
    await done;
    this.#moved.waitMs += performance.now() - started;
  }
}
