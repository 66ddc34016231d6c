/** Finds words in a text, leftmost first and of these the longest, in time that does not grow with their number. */

type Node = { id: number | null; readonly next: Map<number, Node> };
export type Match = { readonly id: number; readonly start: number; readonly end: number };

export class TokenTrie {
  readonly #root: Node = { id: null, next: new Map() };

  add(word: string, id: number): void {
    let node = this.#root;
    for (let i = 0; i < word.length; i++) {
      const unit = word.charCodeAt(i);
      let next = node.next.get(unit);
      if (next === undefined) {
        next = { id: null, next: new Map() };
        node.next.set(unit, next);
      }
      node = next;
    }
    if (word !== '') node.id = id;
  }

  /** Matches in order, none overlapping the one before. */
  *matches(text: string): Generator<Match> {
    let start = 0;
    while (start < text.length) {
      const match = this.#longestAt(text, start);
      if (match === null) start++;
      else {
        yield match;
        start = match.end;
      }
    }
  }

  /** Every word that begins at `start`, the shorter before the longer. */
  *prefixesAt(text: string, start: number): Generator<Match> {
    let node = this.#root.next.get(text.charCodeAt(start));
    for (let end = start + 1; node !== undefined; end++) {
      if (node.id !== null) yield { id: node.id, start, end };
      if (end >= text.length) break;
      node = node.next.get(text.charCodeAt(end));
    }
  }

  #longestAt(text: string, start: number): Match | null {
    if (!this.#root.next.has(text.charCodeAt(start))) return null;
    let found: Match | null = null;
    for (const match of this.prefixesAt(text, start)) found = match;
    return found;
  }
}
