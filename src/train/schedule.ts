/** Learning-rate schedules with Hugging Face's step indexing: the multiplier of optimizer step s, s from 0. */
export type SchedulerType = 'linear' | 'cosine' | 'constant' | 'constant_with_warmup';

/**
 * @param warmupSteps W: with warmup, step 0 has a learning rate of 0
 * @param totalSteps T: with linear and cosine, step T - 1 still has a learning rate above 0
 * Source: transformers/optimization.py.
 */
export function learningRateMultiplier(
  type: SchedulerType,
  step: number,
  warmupSteps: number,
  totalSteps: number,
): number {
  if (type === 'constant') return 1;
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  if (type === 'constant_with_warmup') return 1;
  const decaySteps = Math.max(1, totalSteps - warmupSteps);
  if (type === 'linear') return Math.max(0, (totalSteps - step) / decaySteps);
  const progress = (step - warmupSteps) / decaySteps;
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}

/** `warmup_steps`: a count from 1 on, a fraction of all steps below 1. */
export function resolveWarmupSteps(warmupSteps: number, totalSteps: number): number {
  return warmupSteps >= 1 ? warmupSteps : Math.ceil(warmupSteps * totalSteps);
}
