/** Does the work of `nibble train`: passes its arguments to node/run.ts and shows its events. */
import { RunStopped } from '../../errors.ts';
import { placeOfSingleRun, run } from '../../node/run.ts';
import type { RunEvent, RunOutcome } from '../../node/run-types.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CheckpointEvent } from '../../train/events.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { createProgress, type Progress } from '../shared/progress.ts';
import { StoppedBySignal } from '../shared/signals.ts';
import { lossInWords, trainProgress } from '../shared/train-progress.ts';
import type { TrainArgs } from './command.ts';
import { jsonLog } from './json-log.ts';
import { logRows } from './log.ts';
import { nextStep } from './next-step.ts';
import { readPipedRows } from './piped-rows.ts';
import { whatIsLeft } from './unattended.ts';

/** Trains and prints where the result lies. @throws ConfigError, DataError, DeviceError; the signal's reason */
export async function runTrain(
  { config: given, profile, unattended, write }: TrainArgs,
  context: CliContext,
): Promise<void> {
  const { output_dir, logging_steps } = given.values;
  const { config: piped, rows } = await readPipedRows(given, context);
  const note = (text: string) => context.stderr.write(`note: ${text}\n`);
  const config = unattended ? await whatIsLeft(piped, { rows, signal: context.signal, note }) : piped;
  if (config === null) {
    if (write !== undefined) write('done', { output_dir, steps: 0 });
    else context.stdout.write(`${output_dir}: this run is finished already; nothing is left to do\n`);
    return;
  }
  const progress = createProgress(context.stderr, context.env);
  const draw = write === undefined ? drawRun(progress, logging_steps) : jsonLog(write);
  let stop: CheckpointEvent | null = null;
  try {
    const outcome = await run(config, {
      place: placeOfSingleRun(config, ['nibble', ...process.argv.slice(2)]),
      device: askedDevice(context),
      signal: context.signal,
      onEvent: (event) => {
        if (event.type === 'checkpoint' && event.isStop) stop = event;
        draw(event);
      },
      profileFile: profile,
      ...(context.startedMs === undefined ? {} : { startedMs: context.startedMs }),
      rows,
    });
    if (write !== undefined) write('done', doneFields(output_dir, outcome));
    else {
      context.stdout.write(`${output_dir}: ${lastLoss(outcome)}, ${figures(outcome)}\n`);
      progress.stop();
      context.stderr.write(`${nextStep(given.values)}\n`);
    }
  } catch (error) {
    throw error === context.signal.reason ? withCheckpoint(error, stop) : error;
  } finally {
    progress.stop();
  }
}

/** A run that a signal has ended, with the checkpoint that it left; one without ends as any command does. */
function withCheckpoint(error: unknown, stop: CheckpointEvent | null): unknown {
  if (!(error instanceof StoppedBySignal) || stop === null) return error;
  return new RunStopped(`${error.message} after step ${stop.step}`, stop.path);
}

function drawRun(progress: Progress, loggingSteps: number): (event: RunEvent) => void {
  const draw = trainProgress(progress, progress, logRows(loggingSteps));
  return (event) => {
    switch (event.type) {
      case 'device':
      case 'data':
      case 'plan':
        for (const note of event.notes) progress.note(note);
        break;
      case 'log':
        break; // drawn from the steps
      case 'end':
        if (event.error === null) draw(null);
        break;
      default:
        draw(event);
    }
  };
}

/** Names the last eval loss, or the last step's loss where nothing is evaluated. */
function lastLoss({ steps, evaluations }: RunOutcome): string {
  const last = evaluations.at(-1);
  return last === undefined ? lossInWords(steps.slice(-1)) : `eval_loss ${last.result.evalLoss.toFixed(4)}`;
}

function figures({ steps, peakBytes }: RunOutcome): string {
  return `${counted(steps.length, 'step')}, peak GPU memory ${formatBytes(peakBytes)}`;
}

function doneFields(output_dir: string, { steps, evaluations, peakBytes, record }: RunOutcome): object {
  return {
    output_dir,
    steps: steps.length,
    loss: steps.at(-1)?.loss,
    eval_loss: evaluations.at(-1)?.result.evalLoss,
    peak_bytes: peakBytes,
    weight_sha256: record.numerics.weight_sha256_after,
  };
}
