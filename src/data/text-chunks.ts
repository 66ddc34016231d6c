/** A long plain text as rows of one length: tokenized as a whole and cut, as language models are pretrained. */
import { DataError } from '../errors.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { Row } from './row.ts';

/**
 * Cuts a text into rows of exactly `length` tokens, in order and without special tokens; the short rest is left out.
 * DataError, `where` being the file, when the text does not fill one row.
 */
export function textChunks(text: string, tokenizer: TextTokenizer, length: number, where: string): Row[] {
  const ids = Uint32Array.from(tokenizer.encode(text, { addSpecialTokens: false }));
  if (ids.length < length) {
    throw new DataError(
      where,
      `has ${ids.length} tokens, needs ${length} for one row. Lower max_length or give more text.`,
    );
  }
  return Array.from({ length: Math.floor(ids.length / length) }, (_, i) => ({
    inputIds: ids.subarray(i * length, (i + 1) * length),
    labels: null,
  }));
}
