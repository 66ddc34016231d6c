/** The log of a run as Trainer prints it: a row per logging_steps, its loss the mean since the row before. */
import type { StepEvent } from '../../train/events.ts';

/** Returns what gives a step's row, or null for a step without one; the last step always has one. */
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
