/** Does the work of `nibble merge`: shows its progress and prints what was written. */
import { type MergeSummary, mergeFolder } from '../../node/merge.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { MergeArgs } from './command.ts';

/**
 * Merges and prints the summary. @param freeBytes free bytes of the disk below a directory; injected by tests
 * @throws ConfigError, DataError; the signal's reason when aborted
 */
export async function runMerge(
  { config, json, ...folders }: MergeArgs,
  { stdout, stderr, env, signal }: CliContext,
  freeBytes?: (directory: string) => Promise<number>,
): Promise<void> {
  const progress = createProgress(stderr, env);
  const names = { model: 'model', adapter: 'adapter', out: 'out' };
  try {
    const summary = await mergeFolder(
      { ...folders, names, config },
      { onEvent: drawWork(progress), signal },
      freeBytes,
    );
    progress.stop();
    stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : inWords(summary));
  } finally {
    progress.stop();
  }
}

function inWords({ out, updates, written_as, bytes }: MergeSummary): string {
  const what = written_as === '4bit' ? ', quantized again' : '';
  const lines = [`${out}: ${counted(updates.length, 'weight')} merged${what}, ${formatBytes(bytes)}`];
  if (updates.length > 0) {
    const sorted = [...updates].sort((a, b) => a.update_per_step - b.update_per_step);
    const [least, most] = [sorted[0], sorted.at(-1)] as [(typeof updates)[number], (typeof updates)[number]];
    const words = ({ weight, update_per_step }: typeof least): string => `${update_per_step.toFixed(3)} (${weight})`;
    lines.push(
      `an update is ${words(least)} to ${words(most)} steps of a 4-bit code: what is well below 1, 4 bits lose most of`,
    );
  }
  return `${lines.join('\n')}\n`;
}
