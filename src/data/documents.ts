/** Where the documents of packed rows lie, token by token, as the GPU reads it. */

/** Three tables (B, S), an entry for each token; `starts` and `ends` count from the beginning of the row. */
export type PackedDocuments = {
  /** The token's place in its document. */
  readonly positions: Uint32Array;
  /** Where the token's document starts and where it ends (exclusive). */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
};

/**
 * Works out the place of every token.
 * @param rows the lengths of each row's documents, in order
 * @param S columns; each token of padding past a row's documents is a document by itself, which costs attention least
 */
export function locateDocuments(rows: readonly (readonly number[])[], S: number): PackedDocuments {
  const positions = new Uint32Array(rows.length * S);
  const starts = new Uint32Array(rows.length * S);
  const ends = new Uint32Array(rows.length * S);
  rows.forEach((lengths, b) => {
    const length = lengths.reduce((sum, n) => sum + n, 0);
    let start = 0;
    for (const n of [...lengths, ...new Array<number>(S - length).fill(1)]) {
      const at = b * S + start;
      for (let t = 0; t < n; t++) positions[at + t] = t;
      starts.fill(start, at, at + n);
      ends.fill(start + n, at, at + n);
      start += n;
    }
  });
  return { positions, starts, ends };
}
