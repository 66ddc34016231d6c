/** Rows of a dataset in any order, one at a time: their lengths are known before any of them is made. */
import type { Row } from './row.ts';

/** Random access to rows. A row may come from a disk, so it may take a while; its length never does. */
export interface RowSource {
  readonly count: number;
  /** Tokens of row `index`, from 0. */
  length(index: number): number;
  /** Row `index`, the same each time. @throws DataError where it cannot be read any more */
  row(index: number): Row | Promise<Row>;
}

/** Rows that are all in memory. */
export function rowsInMemory(rows: readonly Row[]): RowSource {
  const at = (index: number): Row => {
    const row = rows[index];
    if (row === undefined) throw new RangeError(`row ${index} of ${rows.length}`);
    return row;
  };
  return { count: rows.length, length: (index) => at(index).inputIds.length, row: at };
}

/** Lengths of all rows, in their order. */
export function lengthsOf(rows: RowSource): Uint32Array {
  return Uint32Array.from({ length: rows.count }, (_, index) => rows.length(index));
}
