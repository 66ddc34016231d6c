/** Sentences that the table and the Markdown of an estimate share. */

import type { CardMethod } from '../../estimate/guide-types.ts';
import { MOST_ROWS } from '../../estimate/method-plans.ts';
import type { EstimateResult } from '../../estimate/types.ts';

/** Usual settings that nobody asked for, in a sentence; null without any. */
export function assumedLine({ guide }: EstimateResult): string | null {
  const assumed = Object.entries(guide?.assumed ?? {});
  if (assumed.length === 0) return null;
  const settings = assumed.map(([key, value]) => `${key} ${String(value)}`).join(', ');
  return `Assumed, since nothing was set: ${settings}. A flag changes each.`;
}

/** What the columns of cards mean. */
export function cardsLegend(result: EstimateResult): string[] {
  const { guide, per_device_train_batch_size: batch, max_length: length } = result;
  if (guide === undefined) return [];
  const limited = guide.cards.some(({ methods }) => methods.some((m) => m.is_device_limit));
  return [
    `tokens: the longest row at a batch of ${batch}; rows: the largest batch of ${length.toLocaleString('en-US')} tokens, up to ${MOST_ROWS}; –: not one fits.`,
    `${guide.usable}; max_gpu_memory says otherwise.`,
    ...(limited
      ? [
          `*: one row more is beyond what ${result.profile} can bind, whatever its memory; gradient_accumulation_steps makes larger batches.`,
        ]
      : []),
  ];
}

export const tokensCell = ({ longest_row: tokens }: CardMethod): string =>
  tokens === null ? '–' : tokens.toLocaleString('en-US');

export const rowsCell = ({ largest_batch: rows, is_device_limit }: CardMethod): string =>
  rows === null ? '–' : `${rows}${is_device_limit ? '*' : ''}`;

/** Bytes as cards are sold and as makers of disks count: 10^9. */
export const formatGB = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e11 ? 2 : 1)} GB`;
