/** trainer_state.json as Hugging Face's Trainer writes it: the log of a run under its names, in full precision. */

import type { EvalResult } from './evaluate.ts';
import type { StepEvent } from './events.ts';

export type LogRow = Readonly<Record<string, number>>;

/** Collects log rows; the loss of a row is the mean since the last one. */
export class TrainerLog {
  readonly history: LogRow[] = [];
  readonly #every: number;
  #losses: number[] = [];

  constructor(loggingSteps: number) {
    this.#every = loggingSteps;
  }

  step({ step, epoch, loss, gradNorm, learningRate }: StepEvent): void {
    this.#losses.push(loss);
    if (step % this.#every !== 0) return;
    const mean = this.#losses.reduce((sum, l) => sum + l, 0) / this.#losses.length;
    this.#losses = [];
    this.history.push({ epoch, grad_norm: gradNorm, learning_rate: learningRate, loss: mean, step });
  }

  evaluation(step: number, epoch: number, { evalLoss, samples, seconds }: EvalResult, batches: number): void {
    this.history.push({
      epoch,
      eval_loss: evalLoss,
      eval_runtime: seconds,
      eval_samples_per_second: samples / seconds,
      eval_steps_per_second: batches / seconds,
      step,
    });
  }

  end(row: LogRow): void {
    this.history.push(row);
  }
}

export type TrainerState = {
  readonly epoch: number;
  readonly global_step: number;
  readonly max_steps: number;
  readonly num_train_epochs: number;
  readonly train_batch_size: number;
  readonly logging_steps: number;
  readonly eval_steps: number;
  readonly num_input_tokens_seen: number;
  readonly log_history: readonly LogRow[];
};

/** JSON has no NaN: a value that is not finite becomes null, which a reader cannot mistake for a number. */
export function formatTrainerState(state: TrainerState): string {
  return `${JSON.stringify(state, null, 2)}\n`;
}
