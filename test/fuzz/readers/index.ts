/** Every reader of something from outside. */
import type { Reader } from '../reader.ts';
import { commandReader } from './command.ts';
import { datasetReader } from './dataset.ts';
import { estimateReader, modelConfigReader } from './model.ts';
import { recordReader, reportReader, summaryReader } from './records.ts';
import { configReader, suiteReader } from './settings.ts';
import { tokenizerReader } from './tokenizer.ts';
import { adapterReader, quantizedReader, safetensorsReader, wholeModelReader } from './weights.ts';

export const READERS: readonly Reader[] = [
  configReader,
  suiteReader,
  commandReader,
  datasetReader,
  tokenizerReader,
  modelConfigReader,
  estimateReader,
  safetensorsReader,
  adapterReader,
  quantizedReader,
  wholeModelReader,
  recordReader,
  reportReader,
  summaryReader,
];

/** Shares a number of inputs out among the readers; each has at least one. */
export function shared(runs: number): (readonly [Reader, number])[] {
  const all = READERS.reduce((sum, { share }) => sum + share, 0);
  return READERS.map((reader) => [reader, Math.max(1, Math.round((runs * reader.share) / all))] as const);
}
