/** The Unigram model of tokenizer.json: the tokens of a word with the highest sum of scores. */
import { show } from '../../config/show.ts';

import type { Model } from './model.ts';
import type { Part } from './read.ts';
import { TokenTrie } from './trie.ts';

/** How far below the lowest score an unknown character lies: kUnkPenalty of SentencePiece. */
const UNKNOWN_PENALTY = 10;

const encoder = new TextEncoder();

type Piece = { readonly text: string; readonly unknown: boolean };

/** @throws DataError */
export function unigramOf(part: Part): Model {
  const { vocabulary, scores } = readScores(part);
  const unkId = part.has('unk_id') ? part.count('unk_id') : null;
  if (unkId !== null && unkId >= scores.length)
    throw part.error('unk_id', `is ${unkId}, and the vocabulary has ${scores.length} tokens.`);
  const byteFallback = part.flag('byte_fallback', false);
  const trie = new TokenTrie();
  for (const [token, id] of vocabulary) trie.add(token, id);
  const unknownScore =
    scores.reduce((lowest, score) => Math.min(lowest, score), Number.POSITIVE_INFINITY) - UNKNOWN_PENALTY;
  const bytesOf = (text: string): number[] | null => {
    const ids = Array.from(encoder.encode(text), (byte) =>
      vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    );
    return ids.includes(undefined) ? null : (ids as number[]);
  };
  return {
    vocabulary,
    encode: (word) =>
      fused(bestPieces(word, { trie, scores, unkId, unknownScore })).flatMap(({ text }) => {
        const id = vocabulary.get(text);
        if (id !== undefined) return [id];
        const bytes = byteFallback ? bytesOf(text) : null;
        if (bytes !== null) return bytes;
        if (unkId === null) throw part.error('unk_id', `is absent, and ${show(text)} needs it.`);
        return [unkId];
      }),
  };
}

function readScores(part: Part): { vocabulary: Map<string, number>; scores: number[] } {
  const vocabulary = new Map<string, number>();
  const scores = part.list('vocab').map((entry, id) => {
    const [token, score]: readonly unknown[] = Array.isArray(entry) && entry.length === 2 ? entry : [];
    if (typeof token !== 'string' || typeof score !== 'number')
      throw part.error(`vocab[${id}]`, `is ${show(entry)}, needs a token and its score.`);
    vocabulary.set(token, id);
    return score;
  });
  if (scores.length === 0) throw part.error('vocab', 'is empty.');
  return { vocabulary, scores };
}

type Search = {
  readonly trie: TokenTrie;
  readonly scores: readonly number[];
  readonly unkId: number | null;
  readonly unknownScore: number;
};

/** Viterbi over the ends of tokens; of two paths with one score the first found stays. */
function bestPieces(word: string, { trie, scores, unkId, unknownScore }: Search): Piece[] {
  const best = new Float64Array(word.length + 1);
  const from = new Int32Array(word.length + 1).fill(-1);
  const unknown = new Uint8Array(word.length + 1);
  let at = 0;
  for (const char of word) {
    let known = false;
    for (const { id, end } of trie.prefixesAt(word, at)) {
      offer(end, scores[id]!, id === unkId);
      if (end === at + char.length) known = true;
    }
    if (!known) offer(at + char.length, unknownScore, true);
    at += char.length;
  }
  function offer(end: number, score: number, isUnknown: boolean): void {
    const total = best[at]! + score;
    if (from[end] !== -1 && total <= best[end]!) return;
    best[end] = total;
    from[end] = at;
    unknown[end] = isUnknown ? 1 : 0;
  }
  const pieces: Piece[] = [];
  for (let end = word.length; end > 0; end = from[end]!)
    pieces.push({ text: word.slice(from[end]!, end), unknown: unknown[end] === 1 });
  return pieces.reverse();
}

/** Unknown pieces that follow one another are one. */
function fused(pieces: readonly Piece[]): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (last?.unknown === true && piece.unknown) out[out.length - 1] = { text: last.text + piece.text, unknown: true };
    else out.push(piece);
  }
  return out;
}
