/** The schedules of the learning rate by their Hugging Face names, and what lr_scheduler_kwargs may say to each. */
import { z } from 'zod';
import type { ConfigProblem } from '../errors.ts';

const atLeastZero = z.number().min(0);
const stepCount = z.int().min(0);
const curve = z.enum(['linear', 'cosine', '1-sqrt']);

/** Every keyword of every schedule. KWARGS says which of them a schedule takes, and `scheduleProblems` refuses others. */
export const schedulerKwargs = z.looseObject({
  num_cycles: atLeastZero.optional().describe('waves of a cosine, or hard restarts'),
  lr_end: atLeastZero.optional().describe('polynomial: the learning rate at the end'),
  power: atLeastZero.optional().describe('polynomial: its exponent'),
  timescale: z.number().gt(0).optional().describe('inverse_sqrt: steps in which the rate falls by a root of 2'),
  min_lr: atLeastZero.optional().describe('the lowest learning rate'),
  min_lr_rate: atLeastZero.optional().describe('the lowest learning rate, as a share of learning_rate'),
  warmup_lr_rate: atLeastZero.optional().describe('the first learning rate, as a share of learning_rate'),
  num_decay_steps: stepCount.optional().describe('warmup_stable_decay: steps of the decay'),
  num_stable_steps: stepCount.optional().describe('warmup_stable_decay: steps between warm-up and decay'),
  warmup_type: curve.optional().describe('warmup_stable_decay: shape of the warm-up'),
  decay_type: curve.optional().describe('warmup_stable_decay: shape of the decay'),
  min_lr_ratio: atLeastZero.optional().describe('warmup_stable_decay: the lowest rate, as a share of learning_rate'),
});

type KwargName =
  | 'num_cycles'
  | 'lr_end'
  | 'power'
  | 'timescale'
  | 'min_lr'
  | 'min_lr_rate'
  | 'warmup_lr_rate'
  | 'num_decay_steps'
  | 'num_stable_steps'
  | 'warmup_type'
  | 'decay_type'
  | 'min_lr_ratio';
export type SchedulerKwargs = Partial<Pick<z.output<typeof schedulerKwargs>, KwargName>>;

export const SCHEDULER_TYPES = [
  'linear',
  'cosine',
  'cosine_with_restarts',
  'polynomial',
  'constant',
  'constant_with_warmup',
  'inverse_sqrt',
  'cosine_with_min_lr',
  'cosine_warmup_with_min_lr',
  'warmup_stable_decay',
] as const;
export type SchedulerType = (typeof SCHEDULER_TYPES)[number];

const KWARGS: Record<SchedulerType, readonly KwargName[]> = {
  linear: [],
  cosine: ['num_cycles'],
  cosine_with_restarts: ['num_cycles'],
  polynomial: ['lr_end', 'power'],
  constant: [],
  constant_with_warmup: [],
  inverse_sqrt: ['timescale'],
  cosine_with_min_lr: ['min_lr', 'min_lr_rate', 'num_cycles'],
  cosine_warmup_with_min_lr: ['min_lr', 'min_lr_rate', 'warmup_lr_rate', 'num_cycles'],
  warmup_stable_decay: [
    'num_decay_steps',
    'num_stable_steps',
    'warmup_type',
    'decay_type',
    'min_lr_ratio',
    'num_cycles',
  ],
};

/** transformers' default where polynomial is given no lr_end. */
export const POLYNOMIAL_END = 1e-7;

export type ScheduleChoice = {
  readonly type: SchedulerType;
  readonly kwargs: SchedulerKwargs;
  readonly learningRate: number;
  /** Where the kwargs, or else the type, were set. */
  readonly where: string;
};

/** Finds what is wrong with a schedule as a whole: keywords it does not take, missing ones, contradictions. */
export function scheduleProblems({ type, kwargs, learningRate, where }: ScheduleChoice): ConfigProblem[] {
  const takes: readonly string[] = KWARGS[type];
  const path = 'lr_scheduler_kwargs';
  const choice = takes.length === 0 ? `${type} takes none` : `${type} takes ${takes.join(', ')}`;
  const unknown = Object.keys(kwargs)
    .filter((key) => !takes.includes(key))
    .map((key) => ({ path: `${path}.${key}`, message: `is not for this schedule: ${choice} (${where})` }));
  return [
    ...unknown,
    ...contradictions(type, kwargs, learningRate).map((message) => ({ path, message: `${message} (${where})` })),
  ];
}

function contradictions(type: SchedulerType, kwargs: SchedulerKwargs, learningRate: number): string[] {
  const { min_lr, min_lr_rate, num_decay_steps, lr_end = POLYNOMIAL_END } = kwargs;
  if (type === 'polynomial' && !(learningRate > lr_end))
    return [`lr_end ${lr_end} is not below learning_rate ${learningRate}; polynomial falls from one to the other`];
  if (type === 'warmup_stable_decay' && num_decay_steps === undefined)
    return ['has no num_decay_steps, which warmup_stable_decay needs; say how many steps the decay takes'];
  if (min_lr !== undefined && !(learningRate > 0))
    return [`has min_lr ${min_lr} and no learning_rate above 0 to fall from`];
  if (type !== 'cosine_with_min_lr' && type !== 'cosine_warmup_with_min_lr') return [];
  if (min_lr === undefined && min_lr_rate === undefined)
    return [`has neither min_lr nor min_lr_rate; ${type} needs one of them`];
  if (min_lr !== undefined && min_lr_rate !== undefined)
    return [`has min_lr and min_lr_rate; ${type} takes one of them`];
  return [];
}
