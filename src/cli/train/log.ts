/** Log rows as Trainer prints them: one per logging_steps, its loss the mean since the row before, steps without a label left out. */
import type { StepEvent } from '../../train/events.ts';
import { tokensPerSecond } from '../shared/pace.ts';
import { lossInWords, speedInWords } from '../shared/train-progress.ts';

/** Returns a function from step to row, null for a step without one; the last step always has a row. */
export function logRows(loggingSteps: number): (event: StepEvent) => string | null {
  let since: StepEvent[] = [];
  return (event) => {
    const { step, totalSteps, epoch, gradNorm, learningRate, lossScale } = event;
    since.push(event);
    if (step % loggingSteps !== 0 && step !== totalSteps) return null;
    const loss = lossInWords(since);
    const speed = speedInWords(tokensPerSecond(since));
    since = [];
    return [
      `step ${String(step).padStart(String(totalSteps).length)}/${totalSteps}`,
      loss,
      `grad_norm ${gradNorm.toFixed(4)}`,
      `learning_rate ${learningRate.toExponential(3)}`,
      ...(lossScale === null ? [] : [`loss_scale ${lossScale}`]),
      `epoch ${epoch.toFixed(2)}`,
      speed,
    ].join('  ');
  };
}
