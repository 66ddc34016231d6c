/** The best evaluation so far, and whether too many after it were no better: Trainer's, and its EarlyStoppingCallback. */
import type { TrainConfig } from '../config/settings.ts';
import type { EvalResult } from './events.ts';

type Settings = Pick<
  TrainConfig,
  | 'metric_for_best_model'
  | 'greater_is_better'
  | 'early_stopping_patience'
  | 'early_stopping_threshold'
  | 'save_strategy'
  | 'eval_strategy'
>;

export type BestState = {
  /** Null before the first evaluation. */
  readonly metric: number | null;
  /** Step of the best evaluation; null where no checkpoints are saved. */
  readonly step: number | null;
  /** Name of the newest checkpoint of a best step; it may be older than `step`. */
  readonly checkpoint: string | null;
  /** Evaluations in a row that did not count as better. */
  readonly patience: number;
};

export const NOTHING_YET: BestState = { metric: null, step: null, checkpoint: null, patience: 0 };

/** Takes in an evaluation. @returns the new state, and whether it was the best so far */
export function afterEvaluation(
  state: BestState,
  settings: Settings,
  step: number,
  { evalLoss }: Pick<EvalResult, 'evalLoss'>,
): { readonly state: BestState; readonly isBest: boolean } {
  const { metric_for_best_model, greater_is_better, eval_strategy, save_strategy } = settings;
  if (metric_for_best_model === null || eval_strategy === 'no') return { state, isBest: false };
  const isBetter = (than: number): boolean => (greater_is_better ? evalLoss > than : evalLoss < than);
  const worst = greater_is_better ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const isBest = isBetter(state.metric ?? worst);
  return {
    state: {
      ...state,
      metric: isBest ? evalLoss : state.metric,
      step: isBest && save_strategy !== 'no' ? step : state.step,
      patience: patienceAfter(state, settings, evalLoss, isBetter),
    },
    isBest,
  };
}

/** Trainer asks before it takes the evaluation in as the best. */
function patienceAfter(
  { metric, patience }: BestState,
  { early_stopping_threshold }: Settings,
  value: number,
  isBetter: (than: number) => boolean,
): number {
  const counts = metric === null || (isBetter(metric) && Math.abs(value - metric) > early_stopping_threshold);
  return counts ? 0 : patience + 1;
}

/** Whether the run ends here. */
export function isExhausted({ patience }: BestState, { early_stopping_patience }: Settings): boolean {
  return early_stopping_patience !== null && patience >= early_stopping_patience;
}

/** Takes in that checkpoints were saved. @param names all that there are */
export function afterSaving(state: BestState, names: readonly string[], nameOf: (step: number) => string): BestState {
  const name = state.step === null ? null : nameOf(state.step);
  return name !== null && names.includes(name) ? { ...state, checkpoint: name } : state;
}
