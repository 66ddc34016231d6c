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
  let before: number[] = [];
  let leastBefore = 0;
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + differs);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, before[j - 2]! + 1);
      row.push(edits);
      least = Math.min(least, edits);
    }
    // a swap reaches back over one row, no further
    if (least >= most && leastBefore >= most) return most;
    leastBefore = least;
    before = last;
    last = row;
  }
  return Math.min(last[b.length]!, most);
}
