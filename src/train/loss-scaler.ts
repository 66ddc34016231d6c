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

/** What goes on from step to step: the scale, the updates since it changed, and all updates applied. */
export type ScalerState = { readonly scale: number; readonly tracker: number; readonly updates: number };

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
  readonly #initial: ScalerState;
  readonly #rows = new Float32Array(RATE_ROWS * RATE_WORDS);
  /** Updates that the host knows to have been applied. */
  #updates = 0;
  /** What the next step starts from; null once it is on the GPU. */
  #state: ScalerState | null;

  constructor(machine: Machine, tensors: ScalerTensors, initScale: number) {
    this.#machine = machine;
    this.#tensors = tensors;
    this.#initial = { scale: initScale, tracker: 0, updates: 0 };
    this.#state = this.#initial;
  }

  /** Starts over, or goes on from a state: the next step is the first after it. */
  reset(state: ScalerState = this.#initial): void {
    this.#state = state;
    this.#updates = state.updates;
  }

  /** Reads the state after the last step; none may be unread. */
  async state(): Promise<ScalerState> {
    if (this.#state !== null) return this.#state;
    const words = await this.#machine.read(this.#tensors.scaler);
    const counts = new Uint32Array(words);
    return {
      scale: new Float32Array(words)[SCALER.lossScale] as number,
      tracker: counts[SCALER.tracker] as number,
      updates: counts[SCALER.updates] as number,
    };
  }

  /**
   * Uploads the rows of rates; to be called before a step is submitted. At most RATE_ROWS - 2 steps may be unread: with
   * this step and the choice at its end, the GPU reads rows up to two further than the updates known here.
   */
  begin(ratesAt: RatesAt): void {
    if (this.#state !== null) this.#start(this.#state, ratesAt(this.#state.updates));
    for (let u = this.#updates; u < this.#updates + RATE_ROWS; u++) {
      const { lr, bias1, sqrt_bias2 } = ratesAt(u);
      const row = (u % RATE_ROWS) * RATE_WORDS;
      this.#rows[row] = lr;
      this.#rows[row + 1] = bias1;
      this.#rows[row + 2] = sqrt_bias2;
    }
    this.#machine.write(this.#tensors.rates, this.#rows);
  }

  #start({ scale, tracker, updates }: ScalerState, { lr, bias1, sqrt_bias2 }: Rates): void {
    const words = new Float32Array(SCALER_WORDS);
    words.set([lr, bias1, sqrt_bias2, scale]);
    new Uint32Array(words.buffer).set([tracker, updates], SCALER.tracker);
    this.#machine.write(this.#tensors.scaler, words);
    this.#state = null;
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
