/**
 * The host's half of the loss scale of float16 runs. The host learns whether a step was applied only after it has
 * submitted the next one. So the GPU chooses scale, learning rate and bias corrections of a step, from rows that the
 * host uploads for every number of updates that may have been applied by then. Nothing waits, nothing is allocated.
 */
import type { Machine } from '../gpu/machine.ts';
import type { Submission } from '../gpu/submission.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Readback } from '../gpu/transfer.ts';
import { RATE_ROWS, RATE_WORDS, SCALED_WORDS, SCALER, SCALER_WORDS } from '../kernels/loss-scale.ts';

/** Scalars of a step that depend on the number of updates applied before it. */
type Rates = { readonly lr: number; readonly bias1: number; readonly sqrt_bias2: number };
export type RatesAt = (updates: number) => Rates;

/** Tensors of src/kernels/loss-scale.ts, and the step scalars that they overwrite. */
type ScalerTensors = { readonly scaler: Tensor; readonly rates: Tensor; readonly step: Tensor };

const WORD_BYTES = 4;
/** Size and place of the scaler's bytes that tell the host what a step used. */
export const USED_BYTES = 2 * WORD_BYTES;
const USED_AT = SCALER.used * WORD_BYTES;

/** Uploads rates, and reads back the scale and the number of updates of each step. */
export class LossScaler {
  readonly #machine: Machine;
  readonly #tensors: ScalerTensors;
  readonly #initScale: number;
  readonly #rows = new Float32Array(RATE_ROWS * RATE_WORDS);
  /** Updates that the host knows to have been applied. */
  #updates = 0;
  #started = false;

  constructor(machine: Machine, tensors: ScalerTensors, initScale: number) {
    this.#machine = machine;
    this.#tensors = tensors;
    this.#initScale = initScale;
  }

  /** Starts over: the next step counts as the first. */
  reset(): void {
    this.#updates = 0;
    this.#started = false;
  }

  /**
   * Uploads the rows of rates; to be called before a step is submitted. At most RATE_ROWS - 2 steps may be unread: with
   * this step and the choice at its end, the GPU reads rows up to two further than the updates known here.
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
    this.#machine.write(this.#tensors.rates, this.#rows);
  }

  #start({ lr, bias1, sqrt_bias2 }: Rates): void {
    const state = new Float32Array(SCALER_WORDS);
    state.set([lr, bias1, sqrt_bias2, this.#initScale]);
    this.#machine.write(this.#tensors.scaler, state);
    this.#started = true;
  }

  /** Overwrites the host's scalars with the GPU's; to be called before every program of a step. */
  lay(submission: Submission): void {
    const { scaler, step } = this.#tensors;
    submission.copy(scaler, step, SCALED_WORDS * WORD_BYTES);
  }

  /** Copies what the step used to byte `to` of a staging buffer; to be called after its update. */
  read(submission: Submission, into: Readback, to: number): void {
    submission.read(this.#tensors.scaler, { from: USED_AT, bytes: USED_BYTES, into, to });
  }

  /** Takes in a step's results, in the order of steps. @returns the scale it used and the updates applied before it */
  finish(buffer: ArrayBuffer, at: number, applied: boolean): { lossScale: number; updates: number } {
    if (applied) this.#updates++;
    return {
      lossScale: new Float32Array(buffer, at, 1)[0] as number,
      updates: new Uint32Array(buffer, at + 4, 1)[0] as number,
    };
  }
}
