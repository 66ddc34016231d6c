/** The rows of the files a configuration names, checked against the model before anything is trained. */
import { ConfigError, DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { type JsonlOptions, readJsonl } from './jsonl.ts';
import { checkRow, cutRow, lossTokens, type Row, type RowLimits } from './row.ts';
import { textChunks } from './text-chunks.ts';

export type DatasetSpec = {
  /** Below the reader's root; an absolute path where the reader takes one. */
  readonly path: string;
  /** Left out: `text-chunks` for a name that ends in .txt, else `jsonl`. */
  readonly type?: 'jsonl' | 'text-chunks';
  /** Rows passed over at the start, then rows taken at most: two specs can share a file without sharing rows. */
  readonly skip_rows?: number;
  readonly max_rows?: number;
};

export type DatasetOptions = JsonlOptions & RowLimits;

export type Dataset = {
  readonly rows: readonly Row[];
  readonly tokens: number;
  /** Tokens that are predicted and count. */
  readonly lossTokens: number;
  readonly longestRow: number;
  /** Rows that were cut to max_length, and the tokens they lost by it. */
  readonly truncatedRows: number;
  readonly truncatedTokens: number;
  /** Rows in which nothing counts; they are kept, as Hugging Face keeps them. */
  readonly rowsWithoutLoss: number;
};

/**
 * Reads every file in turn. DataError: an absent or empty dataset, a line that is no row, ids beyond the vocabulary,
 * rows beyond the model's positions, or no token at all to learn from. The message names file and line.
 */
export async function loadDataset(
  reader: FileReader,
  specs: readonly DatasetSpec[],
  options: DatasetOptions,
): Promise<Dataset> {
  const rows: Row[] = [];
  let truncatedRows = 0;
  let truncatedTokens = 0;
  for (const spec of specs) {
    const before = rows.length;
    for await (const { row, where } of rowsOf(reader, spec, options)) {
      checkRow(row, options, where);
      const excess = row.inputIds.length - (options.maxLength ?? row.inputIds.length);
      rows.push(excess > 0 ? cutRow(row, row.inputIds.length - excess) : row);
      if (excess > 0) {
        truncatedRows++;
        truncatedTokens += excess;
      }
    }
    if (rows.length === before) {
      throw new DataError(
        place(reader, spec.path),
        'gives no rows, needs at least one. Is it the right file, and are skip_rows and max_rows right?',
      );
    }
  }
  const counts = rows.map(lossTokens);
  const dataset: Dataset = {
    rows,
    tokens: rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
    lossTokens: counts.reduce((sum, count) => sum + count, 0),
    longestRow: rows.reduce((longest, { inputIds }) => Math.max(longest, inputIds.length), 0),
    truncatedRows,
    truncatedTokens,
    rowsWithoutLoss: counts.filter((count) => count === 0).length,
  };
  if (rows.length > 0 && dataset.lossTokens === 0) {
    throw new DataError(
      specs.map(({ path }) => place(reader, path)).join(', '),
      `has ${rows.length} rows and no token to learn from: every label after a row's first is -100${truncatedRows > 0 ? `, or was cut off by max_length ${options.maxLength}` : ''}.`,
    );
  }
  return dataset;
}

async function* rowsOf(
  reader: FileReader,
  spec: DatasetSpec,
  options: DatasetOptions,
): AsyncGenerator<{ row: Row; where: string }> {
  const {
    path,
    type = path.endsWith('.txt') ? 'text-chunks' : 'jsonl',
    skip_rows: skip = 0,
    max_rows: most = Infinity,
  } = spec;
  const all = type === 'jsonl' ? readJsonl(reader, path, options) : readChunks(reader, path, options);
  let index = 0;
  for await (const entry of all) {
    if (index >= skip + most) return;
    if (index++ >= skip) yield entry;
  }
}

async function* readChunks(
  reader: FileReader,
  path: string,
  { tokenizer, maxLength }: DatasetOptions,
): AsyncGenerator<{ row: Row; where: string }> {
  const file = place(reader, path);
  if (tokenizer === null) throw new DataError(file, 'is text, and the model directory has no tokenizer.json. Add it.');
  if (maxLength === null) {
    throw new ConfigError([
      { path: 'max_length', message: `is not set; ${file} is cut into rows of that many tokens.` },
    ]);
  }
  for (const row of textChunks(await reader.readText(path), tokenizer, maxLength, file)) yield { row, where: file };
}
