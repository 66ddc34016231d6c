/** Draws the events of one training run below a parent task. */
import { flagMessages } from '../../kernels/flags.ts';
import type { HubEvent } from '../../node/hub-access.ts';
import { formatBytes, formatCount } from '../../report/format.ts';
import { adviceInWords } from '../../train/advice.ts';
import { meanLoss, type Phase, type StepEvent, type TrainEvent } from '../../train/events.ts';
import { formatDuration } from './duration.ts';
import { Pace } from './pace.ts';
import type { Progress, ProgressTask } from './progress.ts';

const LABEL: Record<Phase | 'download', string> = {
  download: 'download (MiB)',
  hash: 'hash files',
  load: 'load',
  compile: 'compile kernels',
  warmup: 'warm up',
  train: 'train',
  eval: 'evaluate',
  sample: 'write samples',
  save: 'save',
};

/** Returns a consumer of events; call it with null at the end. `rowOf` returns a step's log row, or null for none. */
export function trainProgress(
  progress: Progress,
  parent: Pick<ProgressTask, 'start'>,
  rowOf: (event: StepEvent) => string | null = () => null,
): (event: TrainEvent | HubEvent | null) => void {
  const pace = new Pace();
  let task: ProgressTask | null = null;
  let detail = '';
  let memory = '';
  let stepsDone = 0;
  let saved = '';
  return (event) => {
    if (event !== null) pace.hear(event);
    if (event === null || event.type === 'phase') {
      task?.finish(detail);
      detail = '';
      // steps go on counting where an evaluation came between them
      const before = event?.phase === 'train' ? stepsDone : 0;
      task = event === null ? null : parent.start(LABEL[event.phase], event.total + before);
      if (before > 0) task?.advance(before);
    } else if (event.type === 'progress') task?.advance();
    else if (event.type === 'step') {
      detail = lossInWords([event]);
      const leftMs = pace.leftMs(event);
      const row = rowOf(event);
      if (row !== null) task?.row(leftMs > 0 ? `${row}  ${formatDuration(leftMs)} left` : row);
      stepsDone = event.step;
      const live = [speedInWords(pace.tokensPerSecond), memory, detail].filter(Boolean).join('  ');
      task?.advanceTo(event.step, event.totalSteps, live, leftMs);
      if (!event.finite) progress.note(skipMessage(event));
      for (const what of flagMessages(event.flags)) progress.note(`step ${event.step}: ${what}`);
    } else if (event.type === 'memory')
      memory = `GPU ${formatBytes(event.liveBytes)}, peak ${formatBytes(event.peakBytes)}`;
    else if (event.type === 'eval')
      detail = `eval_loss ${event.result.evalLoss.toFixed(4)}  perplexity ${event.result.perplexity.toFixed(2)}`;
    else if (event.type === 'checkpoint') {
      // a run that is told to stop names the checkpoint of its last step again
      if (event.path !== saved) progress.note(`checkpoint: ${event.path}${event.isBest ? ', the best so far' : ''}`);
      saved = event.path;
    } else if (event.type === 'sample')
      for (const { prompt, text } of event.samples)
        progress.note(`${sampledWhen(event.step)}: ${JSON.stringify(prompt)} goes on ${JSON.stringify(text)}`);
    else if (event.type === 'advice') progress.note(`advice: ${adviceInWords(event)}`);
    else if (event.type === 'note') progress.note(event.text);
  };
}

/** Names the weights of a sample: before the first step, or after one. */
const sampledWhen = (step: number): string => (step === 0 ? 'before training' : `after step ${step}`);

/** Formats the mean loss of steps, or says that there is none. */
export function lossInWords(steps: readonly StepEvent[]): string {
  return steps.some(({ lossTokens }) => lossTokens > 0) ? `loss ${meanLoss(steps).toFixed(4)}` : 'no label, no loss';
}

/** Formats a speed: "1,234 tokens/s", or "0.85 tokens/s". */
export function speedInWords(tokensPerSecond: number): string {
  return `${tokensPerSecond >= 100 ? formatCount(tokensPerSecond) : tokensPerSecond.toPrecision(2)} tokens/s`;
}

/** Says why an update was skipped. */
export function skipMessage({ step, lossScale, flags }: StepEvent): string {
  const what = flags === 0 ? 'a gradient was not finite' : 'something left the range of float16';
  const scale = lossScale === null ? '' : ` (loss scale ${lossScale})`;
  return `step ${step}: ${what}, the update was skipped${scale}`;
}
