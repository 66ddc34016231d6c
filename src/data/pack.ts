/** Several documents in one row, bin by bin as TRL's pack_dataset fills them, so that batches hold little padding. */
import { cutRow, IGNORED, type Row } from './row.ts';

/**
 * TRL's strategies. `bfd`: best fit decreasing, documents cut to a row's length; `bfd_split`: the same with long documents
 * split instead; `wrapped`: all tokens in one stream, cut wherever a row is full, and attention crosses documents.
 */
export type PackingStrategy = 'bfd' | 'bfd_split' | 'wrapped';

/** Tells whether rows of a strategy say where their documents begin. */
export function keepsDocuments(strategy: PackingStrategy): boolean {
  return strategy !== 'wrapped';
}

/** TRL packs within batches of this many documents, the default of datasets' map: no row has documents of two batches. */
export const DOCUMENTS_PER_BATCH = 1000;

/**
 * Packs all documents (none of them empty) into rows of at most `length` tokens. Where rows keep documents apart, the first
 * label of each document is -100, so that no token is predicted from the document before it. Source: trl 1.16, data_utils._pack_bfd,
 * _pack_wrapped, and DataCollatorForLanguageModeling with padding_free.
 */
export function packRows(documents: readonly Row[], length: number, strategy: PackingStrategy): Row[] {
  const rows: Row[] = [];
  for (let at = 0; at < documents.length; at += DOCUMENTS_PER_BATCH) {
    const batch = documents.slice(at, at + DOCUMENTS_PER_BATCH);
    if (strategy === 'wrapped') for (const row of pieces(concatenated(batch), length)) rows.push(row);
    else {
      const fitting = batch.flatMap((d) => (strategy === 'bfd' ? [cutRow(d, length)] : pieces(d, length)));
      for (const bin of bestFitDecreasing(fitting, length)) rows.push(packedRow(bin));
    }
  }
  return rows;
}

type Bin = { readonly documents: Row[]; space: number; since: number };

/**
 * Puts documents, the longest first, into the bin with the least space that takes them; equal lengths keep their order. Full bins
 * are looked at no more: of a split document all pieces but the last fill one each, so that at most a batch of documents is left
 * to be searched.
 */
function bestFitDecreasing(documents: readonly Row[], length: number): Row[][] {
  const bins: Bin[] = [];
  const open: Bin[] = [];
  let turn = 0;
  for (const document of [...documents].sort((a, b) => b.inputIds.length - a.inputIds.length)) {
    const size = document.inputIds.length;
    const at = bestBin(open, size);
    const bin = open[at] ?? { documents: [], space: length, since: 0 };
    if (at < 0) bins.push(bin);
    bin.documents.push(document);
    bin.space -= size;
    bin.since = turn++;
    if (at < 0 && bin.space > 0) open.push(bin);
    if (at >= 0 && bin.space === 0) removeAt(open, at);
  }
  return bins.map((bin) => bin.documents);
}

/** Finds the fullest bin with room for `size`; among equally full ones, the one that has been so for longest; -1 where none has. */
function bestBin(bins: readonly Bin[], size: number): number {
  let found = -1;
  let best: Bin | undefined;
  for (let i = 0; i < bins.length; i++) {
    const bin = bins[i]!;
    if (bin.space < size) continue;
    if (best === undefined || bin.space < best.space || (bin.space === best.space && bin.since < best.since)) {
      found = i;
      best = bin;
    }
  }
  return found;
}

/** Moves the last bin into the place of another, since their order means nothing. */
function removeAt(bins: Bin[], at: number): void {
  const last = bins.pop()!;
  if (at < bins.length) bins[at] = last;
}

/** Makes one row of documents that do not see each other. */
function packedRow(documents: readonly Row[]): Row {
  const { inputIds, labels } = concatenated(documents);
  const kept = labels ?? Int32Array.from(inputIds);
  const lengths = documents.map((document) => document.inputIds.length);
  let start = 0;
  for (const length of lengths) {
    kept[start] = IGNORED;
    start += length;
  }
  return { inputIds, labels: kept, documents: lengths };
}

/** Joins rows in new arrays; labels stay null where no row has any. */
function concatenated(rows: readonly Row[]): Row {
  const length = rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
  const inputIds = new Uint32Array(length);
  const labels = rows.every((row) => row.labels === null) ? null : new Int32Array(length);
  let at = 0;
  for (const row of rows) {
    inputIds.set(row.inputIds, at);
    labels?.set(row.labels ?? row.inputIds, at);
    at += row.inputIds.length;
  }
  return { inputIds, labels };
}

/** Cuts a row into rows of `length` tokens, the last of which may be shorter. */
function pieces({ inputIds, labels }: Row, length: number): Row[] {
  return Array.from({ length: Math.ceil(inputIds.length / length) }, (_, i) => {
    const [from, to] = [i * length, (i + 1) * length];
    return { inputIds: inputIds.subarray(from, to), labels: labels?.subarray(from, to) ?? null };
  });
}
