/**
 * The loss scale of float16 runs, host side. Whether a step is applied is known here only once its loss was read, when
 * the next step has been submitted: so scale, learning rate and bias corrections of a step are chosen on the GPU, from rows
 * that the host uploads for every number of updates that may have been applied by then. Nothing waits, nothing is allocated.
 */
import type { Allocation } from '../gpu/allocator.ts';
import type { Device } from '../gpu/device.ts';
import { bufferOf } from '../gpu/program.ts';
import { upload } from '../gpu/transfer.ts';
import { RATE_ROWS, RATE_WORDS, SCALED_WORDS, SCALER, SCALER_WORDS } from '../kernels/loss-scale.ts';

/** What depends on the number of updates before a step. */
export type Rates = { readonly lr: number; readonly bias1: number; readonly sqrt_bias2: number };
export type RatesAt = (updates: number) => Rates;

/** Where the buffers of src/kernels/loss-scale.ts lie. */
export type ScalerBuffers = { readonly scaler: Allocation; readonly rates: Allocation; readonly step: Allocation };

const WORD_BYTES = 4;
/** Bytes of the scaler that tell the host what a step used, and where they begin. */
export const USED_BYTES = 2 * WORD_BYTES;
const USED_AT = SCALER.used * WORD_BYTES;

export class LossScaler {
  readonly #device: Device;
  readonly #buffers: ScalerBuffers;
  readonly #initScale: number;
  readonly #rows = new Float32Array(RATE_ROWS * RATE_WORDS);
  /** Updates that are known to have been applied. */
  #updates = 0;
  #started = false;

  constructor(device: Device, buffers: ScalerBuffers, initScale: number) {
    this.#device = device;
    this.#buffers = buffers;
    this.#initScale = initScale;
  }

  /** The next step is the first one again. */
  reset(): void {
    this.#updates = 0;
    this.#started = false;
  }

  /**
   * Before anything of a step is submitted. At most RATE_ROWS - 2 steps may be unread: with the one that begins and the
   * choice at its end, the GPU reads rows up to two further than the updates known here.
   */
  begin(ratesAt: RatesAt): void {
    if (!this.#started) this.#start(ratesAt(0));
    for (let u = this.#updates; u < this.#updates + RATE_ROWS; u++) {
      const { lr, bias1, sqrt_bias2 } = ratesAt(u);
      const row = (u % RATE_ROWS) * RATE_WORDS;
      this.#rows[row] = lr;
      this.#rows[row + 1] = bias1;
      this.#rows[row + 2] = sqrt_bias2;
    }
    upload(this.#device, this.#buffers.rates, 0, this.#rows);
  }

  #start({ lr, bias1, sqrt_bias2 }: Rates): void {
    const state = new Float32Array(SCALER_WORDS);
    state.set([lr, bias1, sqrt_bias2, this.#initScale]);
    upload(this.#device, this.#buffers.scaler, 0, state);
    this.#started = true;
  }

  /** Lays the GPU's scalars over those that the host wrote; in front of every program of a step. */
  encode(encoder: GPUCommandEncoder): void {
    const { scaler, step } = this.#buffers;
    encoder.copyBufferToBuffer(bufferOf(scaler), 0, bufferOf(step), 0, SCALED_WORDS * WORD_BYTES);
  }

  /** Copies what the step used to byte `to` of a staging buffer; after its update. */
  record(encoder: GPUCommandEncoder, staging: Allocation, to: number): void {
    encoder.copyBufferToBuffer(bufferOf(this.#buffers.scaler), USED_AT, bufferOf(staging), to, USED_BYTES);
  }

  /** Once a step's results were read, in order. @returns the scale it used and the updates applied before it */
  read(buffer: ArrayBuffer, at: number, applied: boolean): { lossScale: number; updates: number } {
    if (applied) this.#updates++;
    return {
      lossScale: new Float32Array(buffer, at, 1)[0] as number,
      updates: new Uint32Array(buffer, at + 4, 1)[0] as number,
    };
  }
}
