/** Models of tokenizer.json: what a word becomes. BPE stands in a file of its own. */
import { show } from '../../config/show.ts';

import { isTokenId, type Part } from './read.ts';

export type Model = {
  readonly vocabulary: ReadonlyMap<string, number>;
  encode(word: string): readonly number[];
};

/** The ids of a model's tokens. @throws DataError for an id that is no whole number from 0 to 2^31 - 1 */
export function readVocabulary(part: Part): Map<string, number> {
  const vocab = part.object('vocab');
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(vocab.json)) {
    if (!isTokenId(id))
      throw vocab.error(null, `gives ${show(token)} the id ${show(id)}, needs a whole number from 0 to 2^31 - 1.`);
    ids.set(token, id);
  }
  return ids;
}

/** A word is a token or the unknown token. @throws DataError */
export function wordLevelOf(part: Part): Model {
  const vocabulary = readVocabulary(part);
  const unk = part.text('unk_token');
  const unkId = vocabulary.get(unk);
  const missing = (word: string): Error =>
    part.error('unk_token', `is ${show(unk)}, which the vocabulary lacks, and ${show(word)} needs it.`);
  return {
    vocabulary,
    encode: (word) => {
      const id = vocabulary.get(word) ?? unkId;
      if (id === undefined) throw missing(word);
      return [id];
    },
  };
}

/** A word is the longest tokens that follow one another, or the unknown token. @throws DataError */
export function wordPieceOf(part: Part): Model {
  const vocabulary = readVocabulary(part);
  const prefix = part.text('continuing_subword_prefix');
  const longest = part.count('max_input_chars_per_word');
  const unk = part.text('unk_token');
  const unkId = vocabulary.get(unk);
  if (unkId === undefined) throw part.error('unk_token', `is ${show(unk)}, which the vocabulary lacks.`);
  const longestAt = (chars: readonly string[], start: number): [id: number, end: number] | null => {
    for (let end = chars.length; end > start; end--) {
      const id = vocabulary.get(`${start > 0 ? prefix : ''}${chars.slice(start, end).join('')}`);
      if (id !== undefined) return [id, end];
    }
    return null;
  };
  return {
    vocabulary,
    encode: (word) => {
      const chars = Array.from(word);
      if (chars.length > longest) return [unkId];
      const ids: number[] = [];
      for (let start = 0; start < chars.length; ) {
        const found = longestAt(chars, start);
        if (found === null) return [unkId];
        ids.push(found[0]);
        start = found[1];
      }
      return ids;
    },
  };
}
