/** Does the work of `nibble merge`: shows its progress and prints what was written. */
import { type MergeSummary, mergeFolder, type WeightUpdate } from '../../node/merge.ts';
import type { MergeLoss } from '../../node/merge-loss.ts';
import { counted, formatBytes, formatFixed, withSign } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { MergeArgs } from './command.ts';

/**
 * Merges and prints the summary. @param freeBytes free bytes of the disk below a directory; injected by tests
 * @throws ConfigError, DataError; the signal's reason when aborted
 */
export async function runMerge(
  { config, json, ...folders }: MergeArgs,
  context: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const { stdout, stderr, env, signal } = context;
  const progress = createProgress(stderr, env);
  // without datasets no device is opened, and a wrong name for one is nobody's business
  const device = config.datasets.length > 0 ? askedDevice(context) : undefined;
  const names = { model: 'model', adapter: 'adapter', out: 'out' };
  try {
    const summary = await mergeFolder(
      { ...folders, names, config, device },
      { onEvent: drawWork(progress), signal },
      freeBytes,
    );
    progress.stop();
    stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : inWords(summary));
  } finally {
    progress.stop();
  }
}

/** What an update is held against: the steps of the code that it has to survive, or the weight itself. */
const SIZES = {
  '4bit': {
    of: ({ update_per_step }: WeightUpdate) => update_per_step,
    words: (ratio: number) => ratio.toFixed(3),
    against: 'steps of the 4-bit code; one well below 1 is mostly lost in 4 bits',
  },
  dense: {
    of: ({ update_rms, weight_rms }: WeightUpdate) => (weight_rms === 0 ? 0 : update_rms / weight_rms),
    words: (ratio: number) => `${Number((100 * ratio).toPrecision(3))} %`,
    against: 'of the norm of the weight',
  },
} as const;

/** What a merge made, and how large its updates are: the smallest and the largest. */
export function inWords({ out, updates, written_as, bytes, losses }: MergeSummary): string {
  const what = written_as === '4bit' ? ', quantized again' : '';
  const lines = [`${out}: ${counted(updates.length, 'weight')} merged${what}, ${formatBytes(bytes)}`];
  const sizeOf = SIZES[written_as];
  const sorted = [...updates].sort((a, b) => sizeOf.of(a) - sizeOf.of(b));
  const [least, most] = [sorted[0], sorted.at(-1)];
  if (least !== undefined && most !== undefined) {
    const words = (update: WeightUpdate): string => `${sizeOf.words(sizeOf.of(update))} (${update.weight})`;
    lines.push(`smallest and largest update: ${words(least)} and ${words(most)} ${sizeOf.against}`);
  }
  for (const loss of losses) lines.push(lossInWords(loss));
  return `${lines.join('\n')}\n`;
}

function lossInWords({ dataset, rows, before, after, difference }: MergeLoss): string {
  const change = after.loss - before.loss;
  const error = difference === null ? '' : ` ± ${formatFixed(difference.stderr, LOSS_DECIMALS)}`;
  const losses = `${formatFixed(before.loss, LOSS_DECIMALS)} before, ${formatFixed(after.loss, LOSS_DECIMALS)} after`;
  const by = withSign(change, (value) => formatFixed(value, LOSS_DECIMALS));
  return `loss on ${dataset} (${counted(rows, 'row')}): ${losses}, ${by}${error}`;
}

const LOSS_DECIMALS = 5;
