/** trainer_state.json as Hugging Face's Trainer writes it: the log of a run under its names, in full precision. */
import type { TrainConfig } from '../config/settings.ts';
import type { RunBatches } from './batching.ts';
import type { EvalResult, StepEvent } from './events.ts';
import { documentsOf } from './packing.ts';

export type LogRow = Readonly<Record<string, number>>;

/**
 * Collects log rows. A row's loss is the mean over the steps since the last row; norm, rate and loss scale are those of
 * its own step; skipped_steps counts from the start of the run. NaN and infinity stay in the log, where Trainer's
 * logging_nan_inf_filter would put a mean in their place.
 */
export class TrainerLog {
  readonly history: LogRow[] = [];
  readonly #every: number;
  readonly #first: boolean;
  #losses: number[] = [];
  #skipped = 0;

  constructor({ logging_steps, logging_first_step }: Pick<TrainConfig, 'logging_steps' | 'logging_first_step'>) {
    this.#every = logging_steps;
    this.#first = logging_first_step;
  }

  step({ step, epoch, loss, gradNorm, learningRate, lossScale, finite }: StepEvent): void {
    this.#losses.push(loss);
    if (!finite) this.#skipped++;
    if (step % this.#every !== 0 && !(this.#first && step === 1)) return;
    const mean = this.#losses.reduce((sum, l) => sum + l, 0) / this.#losses.length;
    this.#losses = [];
    const scaling = lossScale === null ? {} : { loss_scale: lossScale, skipped_steps: this.#skipped };
    this.history.push({ epoch, grad_norm: gradNorm, learning_rate: learningRate, loss: mean, ...scaling, step });
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
  readonly best_global_step: null;
  readonly best_metric: null;
  readonly best_model_checkpoint: null;
  readonly epoch: number;
  readonly eval_steps: number;
  readonly global_step: number;
  readonly is_hyper_param_search: false;
  readonly is_local_process_zero: true;
  readonly is_world_process_zero: true;
  readonly log_history: readonly LogRow[];
  readonly logging_steps: number;
  readonly max_steps: number;
  /** Tokens without padding. Trainer writes 0 unless include_num_input_tokens_seen is set. */
  readonly num_input_tokens_seen: number;
  readonly num_train_epochs: number;
  readonly save_steps: number;
  readonly stateful_callbacks: object;
  readonly total_flos: number;
  readonly train_batch_size: number;
  readonly trial_name: null;
  readonly trial_params: null;
};

/** Trainer's default of eval_steps and save_steps. */
const HF_STEPS = 500;
/**
 * Trainer's estimate: 6 operations per token and parameter outside the embedding. Padding counts; rows of packed
 * documents have none, as in TRL.
 */
const FLOS_A_TOKEN_AND_PARAMETER = 6;

type RunFacts = {
  readonly config: TrainConfig;
  readonly batches: RunBatches;
  readonly steps: readonly StepEvent[];
  readonly trainSeconds: number;
  /** All parameters outside the embedding, trained or not. */
  readonly parameters: number;
};

/** Closes the log with the row of the whole run and returns the content of trainer_state.json. */
export function trainerState(log: TrainerLog, facts: RunFacts): TrainerState {
  const { config, batches, steps, trainSeconds, parameters } = facts;
  const sum = (of: (step: StepEvent) => number): number => steps.reduce((total, step) => total + of(step), 0);
  const { epoch, step } = steps.at(-1) ?? { epoch: 0, step: 0 };
  const tokens = sum(documentsOf(config).train ? (s) => s.tokens : (s) => s.paddedTokens);
  const total_flos = FLOS_A_TOKEN_AND_PARAMETER * tokens * parameters;
  log.end({
    epoch,
    step,
    total_flos,
    train_loss: sum((s) => s.loss) / steps.length,
    train_runtime: trainSeconds,
    train_samples_per_second: sum((s) => s.samples) / trainSeconds,
    train_steps_per_second: steps.length / trainSeconds,
  });
  return {
    best_global_step: null,
    best_metric: null,
    best_model_checkpoint: null,
    epoch,
    eval_steps: config.eval_strategy === 'steps' ? config.eval_steps : HF_STEPS,
    global_step: step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: log.history,
    logging_steps: config.logging_steps,
    max_steps: batches.totalSteps,
    num_input_tokens_seen: sum((s) => s.tokens),
    num_train_epochs: Math.ceil(batches.totalSteps / batches.train.stepsPerEpoch),
    save_steps: HF_STEPS,
    stateful_callbacks: {},
    total_flos,
    train_batch_size: config.per_device_train_batch_size,
    trial_name: null,
    trial_params: null,
  };
}

/** Formats the state as JSON, in which a value that is not finite becomes null: JSON has no NaN. */
export function formatTrainerState(state: TrainerState): string {
  return `${JSON.stringify(state, null, 2)}\n`;
}
