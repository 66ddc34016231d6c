/** trainer_state.json as Hugging Face's Trainer writes it: the log of a run under its names, in full precision. */
import type { TrainConfig } from '../config/settings.ts';
import type { RunBatches } from './batching.ts';
import type { BestState } from './best.ts';
import { type EvalResult, type LogRow, meanLoss, type StepEvent } from './events.ts';
import { documentsOf } from './packing.ts';

/** Hugging Face's log of a run; the last file that training writes. */
export const TRAINER_STATE_FILE = 'trainer_state.json';

/** Columns of log.jsonl that trainer_state.json does not have. */
const OWN_COLUMNS: readonly string[] = ['tokens_per_second', 'num_input_tokens_seen'];

/** Every column that a row of the log may have, in the order of log.csv. */
export const LOG_COLUMNS: readonly string[] = [
  ...['step', 'epoch', 'loss', 'grad_norm', 'learning_rate', 'loss_scale', 'skipped_steps', ...OWN_COLUMNS],
  ...['eval_loss', 'eval_runtime', 'eval_samples_per_second', 'eval_steps_per_second'],
  ...['train_loss', 'train_runtime', 'train_samples_per_second', 'train_steps_per_second', 'total_flos'],
];

/** Whether a row is that of the whole run, which comes last. */
export const isEndRow = (row: LogRow): boolean => row.train_runtime !== undefined;

type LogSettings = Pick<TrainConfig, 'logging_steps' | 'logging_first_step'>;

/** What a log goes on from. */
export type LogState = {
  readonly rows: readonly LogRow[];
  readonly steps: readonly StepEvent[];
  /** Steps at the end that no row counts yet. */
  readonly unlogged: number;
};

/**
 * Collects log rows. A row's loss is the mean over the steps since the last row, those without a label left out; norm, rate
 * and loss scale are those of its own step; skipped_steps counts from the start of the run. NaN and infinity stay in the
 * log, where Trainer's logging_nan_inf_filter would put a mean in their place.
 */
export class TrainerLog {
  readonly rows: LogRow[];
  readonly #settings: LogSettings;
  readonly #onRow: (row: LogRow) => void;
  #since: StepEvent[];
  #skipped: number;
  #tokens: number;

  /** @param onRow is told of every row, as log.jsonl has it */
  constructor(
    settings: LogSettings,
    onRow: (row: LogRow) => void,
    { rows, steps, unlogged }: LogState = { rows: [], steps: [], unlogged: 0 },
  ) {
    this.#settings = settings;
    this.#onRow = onRow;
    this.rows = [...rows];
    this.#since = steps.slice(steps.length - unlogged);
    this.#skipped = steps.filter(({ finite }) => !finite).length;
    this.#tokens = steps.reduce((sum, { tokens }) => sum + tokens, 0);
  }

  /** The rows as trainer_state.json has them. */
  get history(): LogRow[] {
    return this.rows.map((row) =>
      Object.fromEntries(Object.entries(row).filter(([key]) => !OWN_COLUMNS.includes(key))),
    );
  }

  /** Steps since the last row. */
  get unlogged(): number {
    return this.#since.length;
  }

  step(event: StepEvent): void {
    const { step, epoch, gradNorm, learningRate, lossScale, finite, tokens } = event;
    const { logging_steps, logging_first_step } = this.#settings;
    this.#since.push(event);
    this.#tokens += tokens;
    if (!finite) this.#skipped++;
    if (step % logging_steps !== 0 && !(logging_first_step && step === 1)) return;
    const loss = meanLoss(this.#since);
    const own = { tokens_per_second: tokensPerSecond(this.#since), num_input_tokens_seen: this.#tokens };
    this.#since = [];
    const scaling = lossScale === null ? {} : { loss_scale: lossScale, skipped_steps: this.#skipped };
    this.#push({ epoch, grad_norm: gradNorm, learning_rate: learningRate, loss, ...scaling, step, ...own });
  }

  evaluation(step: number, epoch: number, { evalLoss, samples, seconds }: EvalResult, batches: number): void {
    this.#push({
      epoch,
      eval_loss: evalLoss,
      eval_runtime: seconds,
      eval_samples_per_second: samples / seconds,
      eval_steps_per_second: batches / seconds,
      step,
    });
  }

  end(row: LogRow): void {
    this.#push(row);
  }

  #push(row: LogRow): void {
    this.rows.push(row);
    this.#onRow(row);
  }
}

/** Tokens without padding. */
function tokensPerSecond(steps: readonly StepEvent[]): number {
  const sum = (of: (step: StepEvent) => number): number => steps.reduce((total, step) => total + of(step), 0);
  return sum(({ tokens }) => tokens) / (sum(({ stepMs }) => stepMs) / 1000);
}

export type TrainerState = {
  readonly best_global_step: number | null;
  readonly best_metric: number | null;
  readonly best_model_checkpoint: string | null;
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
  readonly best: BestState;
  /** How the best checkpoint is called in the state; null where there is none. */
  readonly bestPath: string | null;
  /** All parameters outside the embedding, trained or not. */
  readonly parameters: number;
};

const sumOf = (steps: readonly StepEvent[], of: (step: StepEvent) => number): number =>
  steps.reduce((total, step) => total + of(step), 0);

function flosOf({ config, steps, parameters }: Pick<RunFacts, 'config' | 'steps' | 'parameters'>): number {
  const tokens = sumOf(steps, documentsOf(config).train ? (s) => s.tokens : (s) => s.paddedTokens);
  return FLOS_A_TOKEN_AND_PARAMETER * tokens * parameters;
}

/** Closes the log with the row of the whole run. */
export function logEnd(
  log: TrainerLog,
  facts: Pick<RunFacts, 'config' | 'steps' | 'parameters'> & { readonly trainSeconds: number },
): void {
  const { steps, trainSeconds } = facts;
  const { epoch, step } = steps.at(-1) ?? { epoch: 0, step: 0 };
  log.end({
    epoch,
    step,
    total_flos: flosOf(facts),
    train_loss: meanLoss(steps),
    train_runtime: trainSeconds,
    train_samples_per_second: sumOf(steps, (s) => s.samples) / trainSeconds,
    train_steps_per_second: steps.length / trainSeconds,
  });
}

/** Content of trainer_state.json, as far as the run is. */
export function trainerState(log: TrainerLog, facts: RunFacts): TrainerState {
  const { config, batches, steps, best, bestPath } = facts;
  const { epoch, step } = steps.at(-1) ?? { epoch: 0, step: 0 };
  return {
    best_global_step: best.step,
    best_metric: best.metric,
    best_model_checkpoint: bestPath,
    epoch,
    eval_steps: config.eval_strategy === 'steps' ? batches.evalSteps : HF_STEPS,
    global_step: step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: log.history,
    logging_steps: config.logging_steps,
    max_steps: batches.totalSteps,
    num_input_tokens_seen: sumOf(steps, (s) => s.tokens),
    num_train_epochs: Math.ceil(batches.totalSteps / batches.train.stepsPerEpoch),
    save_steps: batches.saveSteps,
    stateful_callbacks: earlyStopping(config, best),
    total_flos: flosOf(facts),
    train_batch_size: config.per_device_train_batch_size,
    trial_name: null,
    trial_params: null,
  };
}

/** The state of transformers' EarlyStoppingCallback, where the run has one. */
function earlyStopping(config: TrainConfig, { patience }: BestState): object {
  const { early_stopping_patience, early_stopping_threshold } = config;
  if (early_stopping_patience === null) return {};
  return {
    EarlyStoppingCallback: {
      args: { early_stopping_patience, early_stopping_threshold },
      attributes: { early_stopping_patience_counter: patience },
    },
  };
}

/** Formats the state as JSON, in which a value that is not finite becomes null: JSON has no NaN. */
export function formatTrainerState(state: TrainerState): string {
  return `${JSON.stringify(state, null, 2)}\n`;
}
