/** Suggests the word that was probably meant. */

/** Finds the candidate with the fewest single-character edits from `word`; undefined when none is close. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.toLowerCase().replaceAll('-', '_');
  // A third of the word may be wrong; past that a suggestion misleads more often than it helps.
  let best: { candidate: string | undefined; edits: number } = {
    candidate: undefined,
    edits: Math.max(1, Math.floor(wanted.length / 3)) + 1,
  };
  for (const candidate of candidates) {
    // each edit changes the length by one at most
    if (Math.abs(candidate.length - wanted.length) >= best.edits) continue;
    const edits = editDistance(wanted, candidate.toLowerCase(), best.edits);
    if (edits < best.edits) best = { candidate, edits };
  }
  return best.candidate;
}

/**
 * Counts insertions, deletions, substitutions and swaps of neighbours between two words (optimal string alignment).
 * @returns `most` where there are as many or more
 */
export function editDistance(a: string, b: string, most = Number.POSITIVE_INFINITY): number {
  const width = b.length + 1;
  // three rows of the table, by turns
  const rows = [0, 1, 2].map(() => new Uint32Array(width)) as [Uint32Array, Uint32Array, Uint32Array];
  let [before, last, row] = rows;
  for (let j = 0; j < width; j++) last[j] = j;
  let leastBefore = 0;
  for (let i = 1; i <= a.length; i++) {
    fillRow(a, b, i, before, last, row);
    // a swap reaches back over one row, no further
    const least = lowest(row);
    if (least >= most && leastBefore >= most) return most;
    leastBefore = least;
    [before, last, row] = [last, row, before];
  }
  return Math.min(last[b.length]!, most);
}

function fillRow(a: string, b: string, i: number, before: Uint32Array, last: Uint32Array, row: Uint32Array): void {
  const char = a.charCodeAt(i - 1);
  row[0] = i;
  for (let j = 1; j <= b.length; j++) {
    const other = b.charCodeAt(j - 1);
    let edits = last[j - 1]! + (char === other ? 0 : 1);
    if (last[j]! + 1 < edits) edits = last[j]! + 1;
    if (row[j - 1]! + 1 < edits) edits = row[j - 1]! + 1;
    const isSwap = i > 1 && j > 1 && char === b.charCodeAt(j - 2) && a.charCodeAt(i - 2) === other;
    if (isSwap && before[j - 2]! + 1 < edits) edits = before[j - 2]! + 1;
    row[j] = edits;
  }
}

function lowest(row: Uint32Array): number {
  let least = row[0]!;
  for (let j = 1; j < row.length; j++) if (row[j]! < least) least = row[j]!;
  return least;
}
