/** Settings: when a run saves, ends and goes on. */
import { z } from 'zod';
import { atLeastOne, stepsOrShare, text } from './types.ts';

export const checkpoints = {
  save_strategy: z
    .enum(['no', 'steps', 'epoch', 'best'])
    .default('steps')
    .describe(
      'when to save a checkpoint in output_dir/checkpoint-N: every save_steps, every epoch (both at the last step too), ' +
        'or when an evaluation is the best so far',
    ),
  save_steps: stepsOrShare.default(500).describe('steps between checkpoints; below 1, a fraction of all steps'),
  save_total_limit: atLeastOne
    .nullable()
    .default(null)
    .describe('checkpoints to keep: older ones are deleted, but not the best one; null keeps all'),
  load_best_model_at_end: z
    .boolean()
    .default(false)
    .describe('end with the weights of the best checkpoint; needs evaluations where checkpoints are saved'),
  metric_for_best_model: z
    .enum(['loss', 'eval_loss'])
    .nullable()
    .default(null)
    .describe('what the best checkpoint is the best in; null takes loss where a setting needs one'),
  greater_is_better: z
    .boolean()
    .nullable()
    .default(null)
    .describe('whether a higher metric is better; null: not for a loss'),
  early_stopping_patience: atLeastOne
    .nullable()
    .default(null)
    .describe('evaluations in a row without a better metric after which the run ends; null never ends it early'),
  early_stopping_threshold: z
    .number()
    .min(0)
    .default(0)
    .describe('by how much an evaluation has to be better to count for early_stopping_patience'),
  resume_from_checkpoint: z
    .union([z.boolean(), text])
    .nullable()
    .default(null)
    .describe(
      'go on with a run: true from the newest complete checkpoint in output_dir (from the beginning where there is none), ' +
        'or the folder of a checkpoint',
    ),
  max_minutes: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe('save a checkpoint and end the run before so many minutes are over; null has no limit'),
};
