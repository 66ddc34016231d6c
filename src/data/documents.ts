/** Where the documents of packed rows lie, token by token, as the GPU reads it. */

/** (B, T) each; `starts` and `ends` count from the beginning of the row: src/model/ops/context.ts. */
export type PackedDocuments = {
  /** Of a token, its place in its document. */
  readonly positions: Uint32Array;
  /** Of a token, where its document starts and where it ends (exclusive). */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
};

/**
 * @param rows the lengths of each row's documents, in order
 * @param T columns; each token of padding past a row's documents is a document by itself, which costs attention least
 */
export function locateDocuments(rows: readonly (readonly number[])[], T: number): PackedDocuments {
  const positions = new Uint32Array(rows.length * T);
  const starts = new Uint32Array(rows.length * T);
  const ends = new Uint32Array(rows.length * T);
  rows.forEach((lengths, b) => {
    const length = lengths.reduce((sum, n) => sum + n, 0);
    let start = 0;
    for (const n of [...lengths, ...new Array<number>(T - length).fill(1)]) {
      const at = b * T + start;
      for (let t = 0; t < n; t++) positions[at + t] = t;
      starts.fill(start, at, at + n);
      ends.fill(start + n, at, at + n);
      start += n;
    }
  });
  return { positions, starts, ends };
}
