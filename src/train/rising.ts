/** Advice during a run: an evaluation loss that has risen twice in a row. */
import type { TrainConfig } from '../config/settings.ts';
import type { Advice } from './advice.ts';
import type { Evaluation } from './events.ts';

type Settings = Pick<TrainConfig, 'load_best_model_at_end' | 'early_stopping_patience' | 'eval_strategy'>;

/** How often in a row it has to rise. */
const RISES = 2;

/** Says so once, at the second rise; null where there is none, or where the settings have both answers to it. */
export function riseAdvice(evaluations: readonly Evaluation[], config: Settings): Advice | null {
  const losses = evaluations.map(({ result }) => result.evalLoss);
  if (risesAtEnd(losses) !== RISES) return null;
  const best = evaluations.reduce((least, one) => (one.result.evalLoss < least.result.evalLoss ? one : least));
  const fix = [
    ...(config.load_best_model_at_end
      ? []
      : [`load_best_model_at_end: true ends with the weights of the best one, so far of step ${best.step}`]),
    ...(config.early_stopping_patience === null ? ['early_stopping_patience: 2 ends such a run'] : []),
  ];
  if (fix.length === 0) return null;
  const last = evaluations.slice(-RISES - 1);
  const values = last.map(({ step, result }) => `${result.evalLoss.toFixed(4)} (step ${step})`).join(', ');
  return {
    code: 'eval_rises',
    path: 'eval_loss',
    message: `has risen twice in a row: ${values}, as it does where rows are learned by heart, or learning_rate is too high`,
    fix: fix.join(', '),
  };
}

function risesAtEnd(losses: readonly number[]): number {
  let rises = 0;
  for (let i = losses.length - 1; i > 0 && losses[i]! > losses[i - 1]!; i--) rises++;
  return rises;
}
