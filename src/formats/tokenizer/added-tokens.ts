/** Tokens beside the model's vocabulary: their ids, and where they stand in a text. AddedVocabulary of Rust's `tokenizers`. */
import { endWithoutSpace, type Normalizer } from './normalizers.ts';
import type { Piece } from './pre-tokenizers.ts';
import type { Part } from './read.ts';
import { TokenTrie } from './trie.ts';
import { memberOf, WHITE_SPACE } from './unicode.ts';

export type AddedToken = {
  readonly content: string;
  /** Matches whole words only. */
  readonly single_word: boolean;
  /** Takes the white space on its left, and on its right, along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Looked for in the normalized text, in its own normalized form. */
  readonly normalized: boolean;
  readonly special: boolean;
};

/** A piece of text, or a token found in it. */
export type Found = Piece | { readonly id: number };

/** The same with its place in the text that was split, in UTF-16 units. */
export type Located = (Piece | { readonly id: number }) & { readonly start: number; readonly end: number };

/** A piece of the raw text between tokens, normalized, and what stands in its normalized form. */
export type NormalizedPiece = {
  readonly raw: string;
  readonly start: number;
  readonly normalized: string;
  readonly parts: readonly Located[];
};

/** What the added tokens need of the model: its vocabulary. */
export type Vocabulary = { readonly size: number; idOf(token: string): number | undefined };

export function addedTokenOf(part: Part): AddedToken {
  const special = part.flag('special', false);
  return {
    content: part.text('content'),
    single_word: part.flag('single_word', false),
    lstrip: part.flag('lstrip', false),
    rstrip: part.flag('rstrip', false),
    normalized: part.flag('normalized', !special),
    special,
  };
}

export class AddedTokens {
  readonly #vocabulary: Vocabulary;
  readonly #normalizer: Normalizer | null;
  readonly #byId = new Map<number, AddedToken>();
  readonly #ids = new Map<string, number>();
  #raw: TokenTrie | null = null;
  #normalized: TokenTrie | null = null;

  constructor(vocabulary: Vocabulary, normalizer: Normalizer | null) {
    this.#vocabulary = vocabulary;
    this.#normalizer = normalizer;
  }

  /**
   * Gives each token the id it has, or the next one behind the vocabulary and the tokens before it: the ids that files name do not
   * count for Rust. A token of known content takes the new flags.
   */
  add(tokens: readonly AddedToken[]): void {
    const { size } = this.#vocabulary;
    const highest = maxOf(this.#byId.keys());
    let next = highest >= size ? highest + 1 : size;
    for (const token of tokens) {
      if (token.content === '') continue;
      const id = this.idOf(token.content) ?? next++;
      this.#ids.set(token.content, id);
      this.#byId.set(id, token);
    }
    this.#raw = null;
    this.#normalized = null;
  }

  idOf(content: string): number | undefined {
    return this.#ids.get(content) ?? this.#vocabulary.idOf(content);
  }

  get(id: number): AddedToken | undefined {
    return this.#byId.get(id);
  }

  entries(): Iterable<[number, AddedToken]> {
    return this.#byId.entries();
  }

  /** The form that stands in normalized text, which is also what the decoder gets. */
  normalizedForm(token: AddedToken): string {
    return token.normalized && this.#normalizer !== null ? this.#normalizer(token.content) : token.content;
  }

  /** The text as tokens and normalized pieces, none of them empty: first the tokens of the raw text, then those of the normalized. */
  extract(text: string): Found[] {
    this.#raw ??= this.#trie(false);
    this.#normalized ??= this.#trie(true);
    const found: Found[] = [];
    for (const raw of this.#split({ text, first: true }, this.#raw)) {
      if ('id' in raw) found.push(raw);
      else {
        const normalized = this.#normalizer === null ? raw.text : this.#normalizer(raw.text);
        for (const piece of this.#split({ text: normalized, first: raw.first }, this.#normalized)) found.push(piece);
      }
    }
    return found;
  }

  /** As `extract`, with the place of everything: tokens in the raw text, and parts in the normalized form of their piece. */
  locate(text: string): (NormalizedPiece | (Located & { readonly id: number }))[] {
    this.#raw ??= this.#trie(false);
    this.#normalized ??= this.#trie(true);
    return this.#split({ text, first: true }, this.#raw).map((found) => {
      if ('id' in found) return found;
      const { text: raw, start, first } = found;
      const normalized = this.#normalizer === null ? raw : this.#normalizer(raw);
      return { raw, start, normalized, parts: this.#split({ text: normalized, first }, this.#normalized!) };
    });
  }

  /** The normalizer, for whoever aligns its output with its input. */
  normalize(text: string): string {
    return this.#normalizer === null ? text : this.#normalizer(text);
  }

  #trie(normalized: boolean): TokenTrie {
    const trie = new TokenTrie();
    for (const [id, token] of this.#byId) if (token.normalized === normalized) trie.add(this.normalizedForm(token), id);
    return trie;
  }

  #split({ text, first }: Piece, trie: TokenTrie): Located[] {
    const found: Located[] = [];
    let covered = 0;
    const pieceTo = (end: number): void => {
      if (covered < end)
        found.push({ text: text.slice(covered, end), first: first && covered === 0, start: covered, end });
    };
    for (const match of trie.matches(text)) {
      const token = this.#byId.get(match.id)!;
      if (token.single_word && !isSingleWord(text, match.start, match.end)) continue;
      // white space that the token before took is gone
      const start = token.lstrip ? endWithoutSpace(text, covered, match.start) : match.start;
      pieceTo(start);
      covered = token.rstrip ? startOfText(text, match.end) : match.end;
      found.push({ id: match.id, start, end: covered });
    }
    pieceTo(text.length);
    return found;
  }
}

function maxOf(numbers: Iterable<number>): number {
  let highest = -1;
  for (const number of numbers) if (number > highest) highest = number;
  return highest;
}

const isWordChar = memberOf('RustWord');

function isSingleWord(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 2), start);
  const after = text.codePointAt(end);
  const last = before === '' ? undefined : Array.from(before).at(-1);
  return !(last !== undefined && isWordChar(last)) && !(after !== undefined && isWordChar(String.fromCodePoint(after)));
}

const LEADING_SPACE = new RegExp(`${WHITE_SPACE}*`, 'vy');

function startOfText(text: string, from: number): number {
  LEADING_SPACE.lastIndex = from;
  return from + (LEADING_SPACE.exec(text)?.[0].length ?? 0);
}
