/** Learning-rate schedules with Hugging Face's step indexing: the multiplier of optimizer step s, s from 0. */
import { POLYNOMIAL_END, type SchedulerKwargs, type SchedulerType } from '../config/schedulers.ts';

export type { SchedulerType };

/** Everything besides the step that a schedule depends on. */
type ScheduleFacts = {
  /** W; above 0, most schedules give step 0 a learning rate of 0. */
  readonly warmupSteps: number;
  /** T; linear and cosine still give step T - 1 a learning rate above 0. */
  readonly totalSteps: number;
  /** Peak of the rate, needed by schedules that end at a rate instead of a share of the peak. */
  readonly learningRate: number;
  readonly kwargs: SchedulerKwargs;
};

type Multiplier = (step: number, facts: ScheduleFacts) => number;

// transformers' defaults for what lr_scheduler_kwargs leaves out
const HALF_WAVE = 0.5;
const INVERSE_SQRT_TIMESCALE = 10_000;

/** Settings that decide the learning rate of every step. */
type RateSettings = {
  readonly learning_rate: number;
  readonly lr_scheduler_type: SchedulerType;
  readonly lr_scheduler_kwargs: SchedulerKwargs | null;
  readonly warmup_steps: number;
};

/** The learning rate of step `step`, from 0, in a run of `totalSteps`. */
export function learningRateAt(settings: RateSettings, step: number, totalSteps: number): number {
  const { learning_rate: learningRate, lr_scheduler_type: type, lr_scheduler_kwargs, warmup_steps } = settings;
  const warmupSteps = resolveWarmupSteps(warmup_steps, totalSteps);
  const given = { kwargs: lr_scheduler_kwargs ?? {}, learningRate };
  return learningRate * learningRateMultiplier(type, step, warmupSteps, totalSteps, given);
}

/** The learning rate as a share of its peak; NaN for polynomial and min_lr without `learningRate`, which they need. */
export function learningRateMultiplier(
  type: SchedulerType,
  step: number,
  warmupSteps: number,
  totalSteps: number,
  { kwargs = {}, learningRate = Number.NaN }: Partial<Pick<ScheduleFacts, 'kwargs' | 'learningRate'>> = {},
): number {
  return MULTIPLIERS[type](step, { warmupSteps, totalSteps, learningRate, kwargs });
}

/** Steps of warm-up from `warmup_steps`: a count from 1 on, a fraction of all steps below 1. */
export function resolveWarmupSteps(warmupSteps: number, totalSteps: number): number {
  return warmupSteps >= 1 ? warmupSteps : Math.ceil(totalSteps * warmupSteps);
}

/** Rises by 1 / W a step; from step W on, `after` decides. */
function afterWarmup(after: Multiplier): Multiplier {
  return (step, facts) => (step < facts.warmupSteps ? step / Math.max(1, facts.warmupSteps) : after(step, facts));
}

/** Share of the steps after warm-up that is done. */
function progress(step: number, { warmupSteps, totalSteps }: ScheduleFacts): number {
  return (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
}

const wave = (cycles: number, at: number): number => HALF_WAVE * (1 + Math.cos(Math.PI * cycles * 2 * at));
const above = (floor: number, share: number): number => share * (1 - floor) + floor;

/** Lowest multiplier: min_lr_rate, or min_lr as a share of the peak. */
function lowest({ kwargs: { min_lr, min_lr_rate }, learningRate }: ScheduleFacts): number {
  return min_lr === undefined ? (min_lr_rate ?? 0) : min_lr / learningRate;
}

const cosine: Multiplier = (step, facts) =>
  Math.max(0, above(lowest(facts), wave(facts.kwargs.num_cycles ?? HALF_WAVE, progress(step, facts))));

const cosineWithRestarts: Multiplier = (step, facts) => {
  const done = progress(step, facts);
  return done >= 1
    ? 0
    : Math.max(0, HALF_WAVE * (1 + Math.cos(Math.PI * (((facts.kwargs.num_cycles ?? 1) * done) % 1))));
};

const polynomial: Multiplier = (step, { kwargs, learningRate, warmupSteps, totalSteps }) => {
  const { lr_end: end = POLYNOMIAL_END, power = 1 } = kwargs;
  if (step > totalSteps) return end / learningRate;
  const remaining = 1 - (step - warmupSteps) / (totalSteps - warmupSteps);
  return ((learningRate - end) * remaining ** power + end) / learningRate;
};

const inverseSqrt: Multiplier = (step, { kwargs, warmupSteps }) => {
  const timescale = kwargs.timescale ?? (warmupSteps || INVERSE_SQRT_TIMESCALE);
  return 1 / Math.sqrt((step + (timescale - warmupSteps)) / timescale);
};

/** Unlike the others, starts its warm-up above 0 and reaches its lowest rate at the last step. */
const cosineWarmupWithMinLr: Multiplier = (step, facts) => {
  const { warmupSteps: W, totalSteps: T, kwargs } = facts;
  if (step < W) {
    const from = kwargs.warmup_lr_rate;
    return from === undefined ? (step + 1) / Math.max(1, W) : from + ((1 - from) * step) / Math.max(1, W - 1);
  }
  const done = (step - W + 1) / Math.max(1, T - W);
  return Math.max(0, above(lowest(facts), wave(kwargs.num_cycles ?? HALF_WAVE, done)));
};

/** Rises, holds, decays over num_decay_steps, and stays at the lowest rate after that. */
const warmupStableDecay: Multiplier = (step, { kwargs, warmupSteps: W, totalSteps: T }) => {
  const { num_decay_steps: decaySteps = 0, min_lr_ratio: floor = 0, num_cycles: cycles = HALF_WAVE } = kwargs;
  const { warmup_type: rise = 'linear', decay_type: fall = 'cosine' } = kwargs;
  if (step < W) return Math.max(0, above(floor, RISES[rise](step / Math.max(1, W))));
  const stable = W + (kwargs.num_stable_steps ?? T - W - decaySteps);
  if (step < stable) return 1;
  if (step >= stable + decaySteps) return floor;
  return Math.max(0, above(floor, FALLS[fall]((step - stable) / Math.max(1, decaySteps), cycles)));
};

const RISES = {
  linear: (done: number) => done,
  cosine: (done: number) => HALF_WAVE * (1 - Math.cos(Math.PI * done)),
  '1-sqrt': (done: number) => 1 - Math.sqrt(1 - done),
};

const FALLS = {
  linear: (done: number) => 1 - done,
  cosine: (done: number, cycles: number) => wave(cycles, done),
  '1-sqrt': (done: number) => 1 - Math.sqrt(done),
};

/** Source: transformers/optimization.py. */
const MULTIPLIERS: Record<SchedulerType, Multiplier> = {
  linear: afterWarmup((step, facts) =>
    Math.max(0, (facts.totalSteps - step) / Math.max(1, facts.totalSteps - facts.warmupSteps)),
  ),
  cosine: afterWarmup(cosine),
  cosine_with_restarts: afterWarmup(cosineWithRestarts),
  polynomial: afterWarmup(polynomial),
  constant: () => 1,
  constant_with_warmup: afterWarmup(() => 1),
  inverse_sqrt: afterWarmup(inverseSqrt),
  cosine_with_min_lr: afterWarmup(cosine),
  cosine_warmup_with_min_lr: cosineWarmupWithMinLr,
  warmup_stable_decay: warmupStableDecay,
};
