/** The BPE model of tokenizer.json: words into ids by merging the pair of lowest rank, leftmost first. */
import { show } from '../../config/show.ts';

import { MergeTable } from './merges.ts';
import { MinHeap } from './min-heap.ts';
import { type Model, readVocabulary } from './model.ts';
import type { Part } from './read.ts';

/** Words whose ids are kept, and the length up to which they are. */
const CACHE = { words: 2 ** 16, length: 256 };
/** A queue entry is rank * POSITIONS + position, exact in a double for ranks below 2^21. */
const POSITIONS = 2 ** 32;

const encoder = new TextEncoder();

/** @throws DataError */
export function bpeOf(part: Part): Model {
  if (part.has('dropout') && part.json.dropout !== 0)
    throw part.unsupported('dropout', `is ${show(part.json.dropout)}, which draws ids at random`);
  const vocabulary = readVocabulary(part);
  const prefix = part.textOrNull('continuing_subword_prefix') ?? '';
  const merges = readMerges(part, vocabulary, prefix);
  const unk = part.textOrNull('unk_token');
  const symbols = {
    vocabulary,
    prefix,
    suffix: part.textOrNull('end_of_word_suffix') ?? '',
    unkId: unk === null ? null : (vocabulary.get(unk) ?? null),
    /** Rust fails at the first unknown character, and only there. */
    needsUnk: unk,
    fuseUnk: part.flag('fuse_unk', false),
    bytes: part.flag('byte_fallback', false) ? byteTokens(vocabulary) : null,
    error: (message: string) => part.error('unk_token', message),
  };
  const whole = part.flag('ignore_merges', false);
  const cache = new Map<string, readonly number[]>();
  return {
    vocabulary,
    encode: (word) => {
      const id = whole ? vocabulary.get(word) : undefined;
      if (id !== undefined) return [id];
      const known = cache.get(word);
      if (known !== undefined) return known;
      const ids = merge(symbolsOf(word, symbols), merges);
      if (word.length <= CACHE.length) {
        if (cache.size >= CACHE.words) cache.clear();
        cache.set(word, ids);
      }
      return ids;
    },
  };
}

function readMerges(part: Part, vocabulary: ReadonlyMap<string, number>, prefix: string): MergeTable {
  const list = part.list('merges').filter((merge) => !(typeof merge === 'string' && merge.startsWith('#version')));
  const table = new MergeTable(list.length);
  for (const [rank, merge] of list.entries()) {
    const pair: readonly unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const [left, right] = pair;
    if (pair.length !== 2 || typeof left !== 'string' || typeof right !== 'string')
      throw part.error(`merges[${rank}]`, `is ${show(merge)}, needs two tokens.`);
    const ids = [left, right, left + right.slice(prefix.length)].map((token) => {
      const id = vocabulary.get(token);
      if (id === undefined)
        throw part.error(`merges[${rank}]`, `is ${show(merge)}, and the vocabulary has no ${show(token)}.`);
      return id;
    });
    table.set(ids[0]!, ids[1]!, rank, ids[2]!);
  }
  return table;
}

/** Ids of <0x00> to <0xFF>, undefined for those that the vocabulary lacks. */
function byteTokens(vocabulary: ReadonlyMap<string, number>): readonly (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
}

type Symbols = {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly prefix: string;
  readonly suffix: string;
  readonly unkId: number | null;
  readonly needsUnk: string | null;
  readonly fuseUnk: boolean;
  readonly bytes: readonly (number | undefined)[] | null;
  readonly error: (message: string) => Error;
};

/**
 * The characters of a word as ids. One that the vocabulary lacks becomes its bytes' tokens if it has them all, else the unknown
 * token, else nothing. An unknown token waits for the next known character, past bytes: Rust's order.
 */
function symbolsOf(word: string, { vocabulary, prefix, suffix, ...rest }: Symbols): number[] {
  const ids: number[] = [];
  let waiting: number | null = null;
  let at = 0;
  for (const char of word) {
    const first = at === 0;
    at += char.length;
    const symbol = `${first ? '' : prefix}${char}${at === word.length ? suffix : ''}`;
    const id = vocabulary.get(symbol);
    if (id !== undefined) {
      if (waiting !== null) ids.push(waiting);
      waiting = null;
      ids.push(id);
      continue;
    }
    const bytes = rest.bytes === null ? [] : Array.from(encoder.encode(symbol), (byte) => rest.bytes![byte]);
    if (bytes.length > 0 && !bytes.includes(undefined)) for (const id of bytes as number[]) ids.push(id);
    else if (rest.needsUnk !== null) {
      if (rest.unkId === null)
        throw rest.error(`is ${show(rest.needsUnk)}, which the vocabulary lacks, and ${show(char)} needs it.`);
      if (waiting !== null && !rest.fuseUnk) ids.push(waiting);
      waiting = rest.unkId;
    }
  }
  if (waiting !== null) ids.push(waiting);
  return ids;
}

/** Merges in place; entries of the queue whose pair has changed since are passed over. */
function merge(ids: number[], merges: MergeTable): number[] {
  const count = ids.length;
  if (count < 2) return ids;
  const next = Int32Array.from({ length: count }, (_, i) => (i + 1 < count ? i + 1 : -1));
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  const gone = new Uint8Array(count);
  const queue = new MinHeap(count);
  const offer = (at: number, after: number): void => {
    const rank = merges.rank(ids[at]!, ids[after]!);
    if (rank >= 0) queue.push(rank * POSITIONS + at);
  };
  for (let i = 0; i + 1 < count; i++) offer(i, i + 1);
  while (queue.size > 0) {
    const entry = queue.pop();
    const at = entry % POSITIONS;
    const after = next[at]!;
    if (gone[at] === 1 || after === -1) continue;
    if (merges.rank(ids[at]!, ids[after]!) !== Math.floor(entry / POSITIONS)) continue;
    ids[at] = merges.merged(ids[at]!, ids[after]!);
    gone[after] = 1;
    const behind = next[after]!;
    next[at] = behind;
    if (behind !== -1) previous[behind] = at;
    if (previous[at] !== -1) offer(previous[at]!, at);
    if (behind !== -1) offer(at, behind);
  }
  return ids.filter((_, i) => gone[i] === 0);
}
