/** Log rows as Trainer prints them: one per logging_steps, with the mean loss since the row before. */
import type { StepEvent } from '../../train/events.ts';

/** Returns a function from step to row, null for a step without one; the last step always has a row. */
export function logRows(loggingSteps: number): (event: StepEvent) => string | null {
  let losses: number[] = [];
  return ({ step, totalSteps, epoch, loss, gradNorm, learningRate, lossScale }) => {
    losses.push(loss);
    if (step % loggingSteps !== 0 && step !== totalSteps) return null;
    const mean = losses.reduce((sum, l) => sum + l, 0) / losses.length;
    losses = [];
    return [
      `step ${String(step).padStart(String(totalSteps).length)}/${totalSteps}`,
      `loss ${mean.toFixed(4)}`,
      `grad_norm ${gradNorm.toFixed(4)}`,
      `learning_rate ${learningRate.toExponential(3)}`,
      ...(lossScale === null ? [] : [`loss_scale ${lossScale}`]),
      `epoch ${epoch.toFixed(2)}`,
    ].join('  ');
  };
}
