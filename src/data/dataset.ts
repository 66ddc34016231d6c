/** The rows of the files a configuration names, checked against the model before anything is trained. */
import { ConfigError, DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { requireText } from './file-kind.ts';
import { type JsonlOptions, type ReadRow, readJsonl } from './jsonl.ts';
import { keepsDocuments, type PackingStrategy, packRows } from './pack.ts';
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

export type DatasetOptions = JsonlOptions &
  RowLimits & {
    /** How rows are packed into rows of maxLength tokens; null, or left out, keeps them as they are. */
    readonly packing?: PackingStrategy | null;
  };

export type Dataset = {
  readonly rows: readonly Row[];
  /** Rows of the files: as many as `rows` unless those were packed. */
  readonly documents: number;
  readonly tokens: number;
  /** Tokens that are predicted and count. */
  readonly lossTokens: number;
  readonly longestRow: number;
  /** Documents that were cut to max_length, and the tokens they lost by it. */
  readonly truncatedRows: number;
  readonly truncatedTokens: number;
  /** Documents in which nothing counts; they are kept, as Hugging Face keeps them. */
  readonly rowsWithoutLoss: number;
  /** Documents that end without an EOS although appendEos is set: the tokenizer names none. */
  readonly rowsWithoutEos: number;
  /** Documents whose text itself has the BOS or EOS that the tokenizer adds. */
  readonly rowsWithDoubledTokens: number;
  /** Columns of the files that are not read and change nothing, sorted; of very many, some. */
  readonly unreadColumns: readonly string[];
};

/** Columns that are remembered: a file may have a new one in every row. */
const MOST_COLUMNS = 100;

/**
 * Reads every file in turn. DataError: an absent or empty dataset, a line that is no row, ids beyond the vocabulary,
 * rows beyond the model's positions, or no token at all to learn from. The message names file and line.
 */
export async function loadDataset(
  reader: FileReader,
  specs: readonly DatasetSpec[],
  options: DatasetOptions,
): Promise<Dataset> {
  const { documents, ...counts } = await readDocuments(reader, specs, options);
  const { packing = null } = options;
  const rows = packing === null ? documents : packed(documents, packing, options);
  const dataset: Dataset = {
    rows,
    documents: documents.length,
    tokens: rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
    lossTokens: rows.reduce((sum, row) => sum + lossTokens(row), 0),
    longestRow: rows.reduce((longest, { inputIds }) => Math.max(longest, inputIds.length), 0),
    ...counts,
    rowsWithoutLoss: documents.filter((document) => lossTokens(document) === 0).length,
  };
  if (rows.length > 0 && dataset.lossTokens === 0) {
    throw new DataError(
      specs.map(({ path }) => place(reader, path)).join(', '),
      `has ${documents.length} rows and no token to learn from: every label after a row's first is -100${counts.truncatedRows > 0 ? `, or was cut off by max_length ${options.maxLength}` : ''}.`,
    );
  }
  return dataset;
}

type Documents = Pick<
  Dataset,
  'truncatedRows' | 'truncatedTokens' | 'rowsWithoutEos' | 'rowsWithDoubledTokens' | 'unreadColumns'
> & {
  readonly documents: readonly Row[];
};

/** Reads and checks the rows of the files, and cuts them to max_length unless packing splits what is beyond it. */
async function readDocuments(
  reader: FileReader,
  specs: readonly DatasetSpec[],
  options: DatasetOptions,
): Promise<Documents> {
  const { packing = null, maxLength } = options;
  const most = packing === null || packing === 'bfd' ? (maxLength ?? Infinity) : Infinity;
  const documents: Row[] = [];
  let truncatedRows = 0;
  let truncatedTokens = 0;
  let rowsWithoutEos = 0;
  let rowsWithDoubledTokens = 0;
  const unreadColumns = new Set<string>();
  for (const spec of specs) {
    const before = documents.length;
    for await (const { row, where, lacksEos, doubled, unread } of rowsOf(reader, spec, options)) {
      checkRow(row, options, where);
      if (lacksEos) rowsWithoutEos++;
      if (doubled) rowsWithDoubledTokens++;
      for (const column of unread) if (unreadColumns.size < MOST_COLUMNS) unreadColumns.add(column);
      const excess = row.inputIds.length - most;
      documents.push(excess > 0 ? cutRow(row, most) : row);
      if (excess > 0) {
        truncatedRows++;
        truncatedTokens += excess;
      }
    }
    if (documents.length === before) {
      throw new DataError(
        place(reader, spec.path),
        `gives no rows, needs at least one. Is it the right file${isPart(spec) ? ', and are skip_rows and max_rows right' : ''}?`,
      );
    }
  }
  return {
    documents,
    truncatedRows,
    truncatedTokens,
    rowsWithoutEos,
    rowsWithDoubledTokens,
    unreadColumns: [...unreadColumns].sort(),
  };
}

const isPart = ({ skip_rows, max_rows }: DatasetSpec): boolean => skip_rows !== undefined || max_rows !== undefined;

/** Packs rows. A row of a stream needs a position for each of its tokens, packed documents only for each of their own. */
function packed(documents: readonly Row[], strategy: PackingStrategy, { maxLength, maxPositions }: RowLimits): Row[] {
  const message = (problem: string) => new ConfigError([{ path: 'max_length', message: problem }]);
  if (maxLength === null) throw message('is not set; packing fills rows of that many tokens.');
  if (!keepsDocuments(strategy) && maxLength > maxPositions)
    throw message(
      `is ${maxLength}, the model has ${maxPositions} positions, and packing_strategy: ${strategy} uses one for each token ` +
        `of a row. Set ${maxPositions} or less.`,
    );
  return packRows(documents, maxLength, strategy);
}

async function* rowsOf(reader: FileReader, spec: DatasetSpec, options: DatasetOptions): AsyncGenerator<ReadRow> {
  const {
    path,
    type = path.endsWith('.txt') ? 'text-chunks' : 'jsonl',
    skip_rows: skip = 0,
    max_rows: most = Infinity,
  } = spec;
  await requireText(reader, path, type);
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
): AsyncGenerator<ReadRow> {
  const file = place(reader, path);
  if (tokenizer === null) throw new DataError(file, 'is text, and the model directory has no tokenizer.json. Add it.');
  if (maxLength === null) {
    throw new ConfigError([
      { path: 'max_length', message: `is not set; ${file} is cut into rows of that many tokens.` },
    ]);
  }
  for (const row of textChunks(await reader.readText(path), tokenizer, maxLength, file))
    yield { row, where: file, lacksEos: false, doubled: false, unread: [] };
}
