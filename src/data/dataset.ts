/** The rows of the files a configuration names, checked against the model before anything is trained. */
import { ConfigError, DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import type { ExampleOptions, MadeRow, Roles, RowKind, RowNote } from './example.ts';
import { ExampleMaker } from './examples.ts';
import type { DataRecord } from './json-record.ts';
import { DOCUMENTS_PER_BATCH, keepsDocuments, type PackingStrategy, packRows } from './pack.ts';
import { readRecords, requireTextFile } from './records.ts';
import { checkRow, cutRow, endOf, IGNORED, lossTokens, type Row, type RowLimits } from './row.ts';
import type { RowSource } from './row-source.ts';
import { RowStore, type RowStoreOptions } from './row-store.ts';
import { splitIndices } from './split.ts';
import { textChunks } from './text-chunks.ts';

export type DatasetSpec = {
  /** Below the reader's root; an absolute path where the reader takes one. */
  readonly path: string;
  /**
   * How rows are read: by the columns named, or `text-chunks`, a plain text cut into rows. Left out: `text-chunks` for a name that ends
   * in .txt, else by the columns each row has.
   */
  readonly type?: Exclude<RowKind, 'text'> | 'text-chunks' | undefined;
  /** Roles of the chat template, and what rows call each. */
  readonly roles?: Roles | undefined;
  /** Rows passed over at the start, then rows taken at most: two specs can share a file without sharing rows. */
  readonly skip_rows?: number;
  readonly max_rows?: number;
};

export type DatasetOptions = ExampleOptions &
  RowLimits &
  RowStoreOptions & {
    /** How rows are packed into rows of maxLength tokens; null, or left out, keeps them as they are. */
    readonly packing?: PackingStrategy | null;
    /** Ids that end a text of the model, whose labels are counted. */
    readonly eosIds?: ReadonlySet<number>;
  };

export type Dataset = DatasetCounts & {
  readonly rows: RowSource;
};

export type DatasetCounts = {
  /** Rows of the files that are trained on: as many as `rows` unless those were packed. */
  readonly documents: number;
  readonly tokens: number;
  /** Tokens that are predicted and count. */
  readonly lossTokens: number;
  readonly longestRow: number;
  /** Tokens of the rows of the files, and of the longest of them, before any was cut. */
  readonly wholeTokens: number;
  readonly longestWhole: number;
  /** Documents in which an EOS is learned, and those that end with one that is masked. */
  readonly learnedEnds: number;
  readonly maskedEnds: number;
  /** Documents of which a part alone is learned. */
  readonly partlyLearned: number;
  /** Documents that were cut to max_length, and the tokens they lost by it. */
  readonly truncatedRows: number;
  readonly truncatedTokens: number;
  /** Rows of the files without a label within max_length, which are left out as TRL leaves them out; packing keeps them. */
  readonly droppedRows: number;
  /** Documents in which nothing that is predicted counts; they are kept, as Hugging Face keeps them. */
  readonly rowsWithoutLoss: number;
  /** How many documents there is this to say of. */
  readonly notes: ReadonlyMap<RowNote, number>;
  /** Columns of the files that are not read and change nothing, sorted; of very many, some. */
  readonly unreadColumns: readonly string[];
};

const NO_IDS: ReadonlySet<number> = new Set();
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
  checkPacking(options);
  const dataset = await collect(reader, specs, options);
  requireLossTokens(reader, specs, dataset, options);
  return dataset;
}

export type SplitOptions = {
  /** Rows that are held back: below 1 a fraction of all, else a count. */
  readonly size: number;
  readonly seed: number;
  /** As `packing`, for the rows that are held back. */
  readonly evaluationPacking: PackingStrategy | null;
};

/** As loadDataset, with some rows held back at random, to evaluate on. */
export async function loadSplitDataset(
  reader: FileReader,
  specs: readonly DatasetSpec[],
  options: DatasetOptions,
  { size, seed, evaluationPacking }: SplitOptions,
): Promise<{ readonly train: Dataset; readonly evaluation: Dataset }> {
  const packings = { train: options.packing ?? null, evaluation: evaluationPacking };
  for (const packing of Object.values(packings)) checkPacking({ ...options, packing });
  // cut, dropped and packed once it is known which part a row belongs to
  const unbounded = { packing: null, maxLength: null, maxPositions: Number.POSITIVE_INFINITY };
  const whole = await collect(reader, specs, { ...options, ...unbounded, maxLengthOfText: options.maxLength });
  const indices = splitIndices(whole.rows.count, size, seed);
  const files = specs.map(({ path }) => place(reader, path)).join(', ');
  const part = async (of: 'train' | 'evaluation'): Promise<Dataset> => {
    const collector = new Collector({ ...options, packing: packings[of] });
    for (const index of indices[of])
      await collector.take({
        row: await whole.rows.row(index),
        where: `${files}: row ${index + 1}`,
        notes: [],
        unread: [],
      });
    return collector.end();
  };
  const { notes, unreadColumns } = whole;
  const train = { ...(await part('train')), notes, unreadColumns };
  requireLossTokens(reader, specs, train, options);
  return { train, evaluation: await part('evaluation') };
}

async function collect(
  reader: FileReader,
  specs: readonly DatasetSpec[],
  options: DatasetOptions & ChunkOptions,
): Promise<Dataset> {
  const collector = new Collector(options);
  for (const spec of specs) {
    let found = 0;
    for await (const read of rowsOf(reader, spec, options)) {
      found++;
      await collector.take(read);
    }
    if (found === 0)
      throw new DataError(
        place(reader, spec.path),
        `gives no rows, needs at least one. Is it the right file${isPart(spec) ? ', and are skip_rows and max_rows right' : ''}?`,
      );
  }
  return collector.end();
}

function requireLossTokens(
  reader: FileReader,
  specs: readonly DatasetSpec[],
  dataset: Dataset,
  options: DatasetOptions,
): void {
  if (specs.length > 0 && dataset.lossTokens === 0)
    throw new DataError(
      specs.map(({ path }) => place(reader, path)).join(', '),
      `has ${dataset.documents + dataset.droppedRows} rows and no token to learn from: every label after a row's first is -100${
        dataset.truncatedRows > 0 ? `, or was cut off by max_length ${options.maxLength}` : ''
      }.`,
    );
}

const isPart = ({ skip_rows, max_rows }: DatasetSpec): boolean => skip_rows !== undefined || max_rows !== undefined;

/** A row of a file, and where it stands. */
type ReadRow = MadeRow & {
  readonly where: string;
  /** Columns that are not read and change nothing. */
  readonly unread: readonly string[];
};

/** Checks, cuts, drops, packs and counts rows as they come. */
class Collector {
  readonly #options: DatasetOptions;
  readonly #most: number;
  readonly #rows: RowStore;
  readonly #notes = new Map<RowNote, number>();
  readonly #unreadColumns = new Set<string>();
  readonly #counts = {
    documents: 0,
    tokens: 0,
    lossTokens: 0,
    longestRow: 0,
    wholeTokens: 0,
    longestWhole: 0,
    learnedEnds: 0,
    maskedEnds: 0,
    partlyLearned: 0,
    truncatedRows: 0,
    truncatedTokens: 0,
    droppedRows: 0,
    rowsWithoutLoss: 0,
  };
  #waiting: Row[] = [];

  constructor(options: DatasetOptions) {
    const { packing = null, maxLength } = options;
    this.#options = options;
    this.#most =
      packing === null || packing === 'bfd' ? (maxLength ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    this.#rows = new RowStore(options);
  }

  async take({ row: whole, where, notes, unread }: ReadRow): Promise<void> {
    const { packing = null, maxLength } = this.#options;
    checkRow(whole, this.#options, where);
    for (const note of notes) this.#notes.set(note, (this.#notes.get(note) ?? 0) + 1);
    for (const column of unread) if (this.#unreadColumns.size < MOST_COLUMNS) this.#unreadColumns.add(column);
    const { length } = whole.inputIds;
    this.#counts.wholeTokens += length;
    this.#counts.longestWhole = Math.max(this.#counts.longestWhole, length);
    const excess = length - this.#most;
    const row = excess > 0 ? cutRow(whole, this.#most) : whole;
    if (excess > 0) {
      this.#counts.truncatedRows++;
      this.#counts.truncatedTokens += excess;
    }
    if (packing === null && maxLength !== null && row.labels?.every((label) => label === IGNORED)) {
      this.#counts.droppedRows++;
      return;
    }
    this.#countDocument(row);
    if (packing === null) return this.#keep(row);
    this.#waiting.push(row);
    if (this.#waiting.length === DOCUMENTS_PER_BATCH) await this.#pack();
  }

  #countDocument(row: Row): void {
    this.#counts.documents++;
    const learned = lossTokens(row);
    if (learned === 0) this.#counts.rowsWithoutLoss++;
    else if (learned < row.inputIds.length - 1) this.#counts.partlyLearned++;
    const end = endOf(row, this.#options.eosIds ?? NO_IDS);
    if (end === 'learned') this.#counts.learnedEnds++;
    if (end === 'masked') this.#counts.maskedEnds++;
  }

  async #pack(): Promise<void> {
    const { packing, maxLength } = this.#options;
    const rows = packRows(this.#waiting, maxLength!, packing!);
    this.#waiting = [];
    for (const row of rows) await this.#keep(row);
  }

  #keep(row: Row): Promise<void> {
    const { length } = row.inputIds;
    this.#counts.tokens += length;
    this.#counts.lossTokens += lossTokens(row);
    this.#counts.longestRow = Math.max(this.#counts.longestRow, length);
    return this.#rows.append(row);
  }

  async end(): Promise<Dataset> {
    if (this.#waiting.length > 0) await this.#pack();
    return {
      rows: this.#rows,
      ...this.#counts,
      notes: this.#notes,
      unreadColumns: [...this.#unreadColumns].sort(),
    };
  }
}

/** A row of a stream needs a position for each of its tokens, packed documents only for each of their own. */
function checkPacking({ packing = null, maxLength, maxPositions }: DatasetOptions): void {
  if (packing === null) return;
  const message = (problem: string) => new ConfigError([{ path: 'max_length', message: problem }]);
  if (maxLength === null) throw message('is not set; packing fills rows of that many tokens.');
  if (!keepsDocuments(packing) && maxLength > maxPositions)
    throw message(
      `is ${maxLength}, the model has ${maxPositions} positions, and packing_strategy: ${packing} uses one for each token ` +
        `of a row. Set ${maxPositions} or less.`,
    );
}

/** Length of the rows that a plain text is cut into, where it is not maxLength. */
type ChunkOptions = { readonly maxLengthOfText?: number | null };

async function* rowsOf(
  reader: FileReader,
  spec: DatasetSpec,
  options: DatasetOptions & ChunkOptions,
): AsyncGenerator<ReadRow> {
  const {
    path,
    type = path.endsWith('.txt') ? 'text-chunks' : undefined,
    skip_rows: skip = 0,
    max_rows: most = Number.POSITIVE_INFINITY,
  } = spec;
  let index = 0;
  if (type === 'text-chunks') {
    await requireTextFile(reader, path);
    for await (const row of readChunks(reader, path, options)) {
      if (index >= skip + most) return;
      if (index++ >= skip) yield row;
    }
    return;
  }
  const maker = new ExampleMaker({ ...options, roles: spec.roles }, type);
  let waiting: DataRecord[] = [];
  for await (const record of readRecords(reader, path)) {
    if (index >= skip + most) break;
    if (index++ < skip) continue;
    waiting.push(record);
    if (waiting.length < MADE_TOGETHER) continue;
    yield* madeRows(maker, waiting);
    waiting = [];
  }
  yield* madeRows(maker, waiting);
}

/** Records that are tokenized together. */
const MADE_TOGETHER = 64;

async function* madeRows(maker: ExampleMaker, records: readonly DataRecord[]): AsyncGenerator<ReadRow> {
  for (const [i, { row, notes, read }] of (await maker.make(records)).entries()) {
    const { json, where } = records[i]!;
    const unread = Object.keys(json).filter((key) => json[key] !== null && !read.includes(key));
    yield { row, where, notes, unread };
  }
}

async function* readChunks(
  reader: FileReader,
  path: string,
  { tokenizer, maxLength: cutTo, maxLengthOfText: maxLength = cutTo }: DatasetOptions & ChunkOptions,
): AsyncGenerator<ReadRow> {
  const file = place(reader, path);
  if (tokenizer === null) throw new DataError(file, 'is text, and the model directory has no tokenizer.json. Add it.');
  if (maxLength === null) {
    throw new ConfigError([
      { path: 'max_length', message: `is not set; ${file} is cut into rows of that many tokens.` },
    ]);
  }
  for (const row of textChunks(await reader.readText(path), tokenizer, maxLength, file))
    yield { row, where: file, notes: [], unread: [] };
}
