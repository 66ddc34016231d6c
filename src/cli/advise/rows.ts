/** The length of rows that datasets ask for, where nobody has set one. */
import { type ResolvedConfig, wasSet, withValues } from '../../config/index.ts';
import { nodeReader } from '../../node/files.ts';
import { openRowSpool } from '../../node/row-spool.ts';
import { counted } from '../../report/format.ts';
import { readRows } from '../../train/rows.ts';
import type { CliContext } from '../shared/context.ts';
import { openTextInputs } from '../shared/text-inputs.ts';

/** Row lengths are rounded up to this, as batches are padded. */
const STEP = 64;

export type RowsOfDatasets = { readonly config: ResolvedConfig; readonly note: string | null };

/**
 * Sets max_length to the longest row of the datasets, unless it was set or there are none.
 * @throws ConfigError, DataError
 */
export async function withRowsOf(asked: ResolvedConfig, context: CliContext): Promise<RowsOfDatasets> {
  if (asked.values.datasets.length === 0) return { config: asked, note: null };
  const { values, model, tokenizer } = await openTextInputs(asked, context);
  const spool = openRowSpool();
  try {
    const { train } = await readRows({ ...values, eval_datasets: [] }, { model, tokenizer }, nodeReader, spool);
    const rows = `${counted(train.documents, 'row')} of ${counted(train.wholeTokens, 'token')}, the longest of ${train.longestWhole.toLocaleString('en-US')}`;
    if (wasSet(asked, 'max_length')) return { config: asked, note: rows };
    const longest = Math.min(model.max_position_embeddings, STEP * Math.ceil(train.longestWhole / STEP));
    const origin = { source: 'default', where: 'datasets' } as const;
    return {
      config: withValues(asked, { max_length: longest }, origin),
      note: `${rows}: max_length ${longest.toLocaleString('en-US')} is planned for`,
    };
  } finally {
    await spool.close();
  }
}
