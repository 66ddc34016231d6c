/** Steps whose loss or gradient is not finite: what ends a run, and what it says. */
import type { TrainConfig } from '../config/settings.ts';
import { DataError } from '../errors.ts';
import { flagMessages } from '../kernels/flags.ts';
import { checkpointName } from './checkpoint-store.ts';
import type { StepEvent } from './events.ts';
import { lastCheckpoint } from './saving.ts';

/** Rows that a message names. */
const MOST_ROWS = 32;

/** Words by which a run that on_nan stopped is known where only the message is left, as in another process. */
export const STOPPED_BY_LOSS = /its update was left out, and the run ends/;

/** Whether a step is broken. Under a loss scale, a gradient that overflows is no fault: the next scale is smaller. */
export function isBroken({ loss, lossTokens, finite, lossScale }: StepEvent): boolean {
  return (lossTokens > 0 && !Number.isFinite(loss)) || (lossScale === null && !finite);
}

/** Steps that statistics stand on: those with a label, whose update was not left out. @param skips of on_nan */
export function countedSteps<T extends Pick<StepEvent, 'lossTokens' | 'finite' | 'lossScale'>>(
  steps: readonly T[],
  skips: boolean,
): readonly T[] {
  return steps.filter((s) => s.lossTokens > 0 && (s.finite || (s.lossScale === null && !skips)));
}

/**
 * Passes a step, or one that on_nan: skip leaves out.
 * @param rows of its micro-batches
 * @param checkpoint folder of the newest one; null where there is none
 * @throws DataError naming the step and its rows
 */
export function requireFiniteStep(
  step: StepEvent,
  rows: readonly (readonly number[])[],
  { on_nan, datasets, packing }: Pick<TrainConfig, 'on_nan' | 'datasets' | 'packing'>,
  checkpoint: string | null,
): void {
  if (on_nan === 'skip' || !isBroken(step)) return;
  const said = flagMessages(step.flags).join('; ');
  const what = Number.isFinite(step.loss) ? 'the gradient is not finite' : `the loss is ${step.loss}`;
  const isOfStepBefore = !Number.isFinite(step.loss) && checkpoint?.endsWith(checkpointName(step.step - 1));
  throw new DataError(
    datasets.map(({ path }) => path).join(', '),
    `${what} in step ${step.step}${said && ` (${said})`}, on ${packing ? 'packed rows' : 'rows'} ${listed(rows.flat())} (from 0); ` +
      `its update was left out, and the run ends. ${checkpoint === null ? '' : `${lastCheckpoint(checkpoint)} `}` +
      (isOfStepBefore ? 'Its weights gave this loss: should it come again, take an earlier one. ' : '') +
      'Look at these rows, give a lower learning_rate or compute_dtype: float32, or pass over such steps with on_nan: skip.',
  );
}

function listed(rows: readonly number[]): string {
  const shown = rows.slice(0, MOST_ROWS).join(', ');
  return rows.length > MOST_ROWS ? `${shown} and ${rows.length - MOST_ROWS} more` : shown;
}

/** Broken steps in a row, up to the end, by which weights are known as broken: rows that are seldom come so together. Half of a short run. */
const BROKEN_AT_END = { least: 2, most: 10 };

/**
 * @param model its folder
 * @param loadsBest whether the weights of the best evaluation are saved, and not those of the last step
 * @throws DataError where no step that had a label changed a weight although some were skipped, or where the weights that would be
 * saved gave no finite loss or gradient any more, in BROKEN_AT_END.most steps in a row or half of all
 */
export function requireTrained(steps: readonly StepEvent[], model: string, loadsBest = false): void {
  const labelled = steps.filter(({ lossTokens }) => lossTokens > 0);
  const skipped = steps.filter(({ finite }) => !finite);
  if (skipped.length === 0) return;
  const said = flagMessages(skipped.reduce((all, { flags }) => all | flags, 0));
  const what = said.join('; ') || 'gradients were not finite';
  const next =
    'Set compute_dtype: float32 or a lower learning_rate, or see whether the model gives a finite loss at all.';
  if (!labelled.some(({ finite, learningRate }) => finite && learningRate > 0)) {
    const others = skipped.length < steps.length ? ', the others had no label or a learning rate of 0' : '';
    const which = `every one of ${skipped.length} updates was skipped (${what})${others}`;
    throw new DataError(model, `${which}, so nothing was trained and no weights are written. ${next}`);
  }
  const broken = labelled.length - 1 - labelled.findLastIndex((step) => !isBroken(step));
  const { least, most } = BROKEN_AT_END;
  if (loadsBest || broken < Math.max(least, Math.min(most, labelled.length / 2))) return;
  throw new DataError(
    model,
    `the last ${broken} of ${labelled.length} steps gave no finite loss or gradient (${what}): the weights are broken, and are not written. ` +
      'An earlier checkpoint may be good. Give a lower learning_rate or compute_dtype: float32.',
  );
}
