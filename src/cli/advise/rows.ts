/** The length of rows that datasets ask for, where nobody has set one. */
import { type ResolvedConfig, wasSet, withValues } from '../../config/index.ts';
import { readModelConfig } from '../../formats/hf-config.ts';
import { openTokenizer, TOKENIZER_FILE } from '../../formats/tokenizer.ts';
import { withDatasetFiles } from '../../node/dataset-files.ts';
import { nodeReader } from '../../node/files.ts';
import { type HubEvent, hubAccess } from '../../node/hub-access.ts';
import { fetchInputs, hubNames, namesOf } from '../../node/hub-inputs.ts';
import { requireInputs, withAbsolutePaths } from '../../node/inputs.ts';
import { openRowSpool } from '../../node/row-spool.ts';
import { counted } from '../../report/format.ts';
import { readRows } from '../../train/rows.ts';
import type { CliContext } from '../shared/context.ts';

/** Row lengths are rounded up to this, as batches are padded. */
const STEP = 64;

export type RowsOfDatasets = { readonly config: ResolvedConfig; readonly note: string | null };

/**
 * Sets max_length to the longest row of the datasets, unless it was set or there are none.
 * @throws ConfigError, DataError
 */
export async function withRowsOf(asked: ResolvedConfig, context: CliContext): Promise<RowsOfDatasets> {
  if (asked.values.datasets.length === 0) return { config: asked, note: null };
  const given = await withDatasetFiles(asked);
  await requireInputs(given, await hubNames(namesOf(given.values)));
  const onEvent = (event: HubEvent): void => {
    if (event.type === 'note') context.stderr.write(`note: ${event.text}\n`);
  };
  const hub = () => hubAccess({ offline: asked.values.offline, signal: context.signal, onEvent });
  const { config } = await fetchInputs(given, hub, 'tokenizer');
  const { values } = withAbsolutePaths(config);
  const reader = nodeReader(values.model_name_or_path);
  const model = await readModelConfig(reader, []);
  const tokenizer = (await reader.exists(TOKENIZER_FILE)) ? await openTokenizer(reader, model.vocab_size) : null;
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
