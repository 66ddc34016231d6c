/** A Hugging Face tokenizer directory: text into the token ids that transformers' AutoTokenizer gives, and back. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';

import type { FileReader } from './reader.ts';
import { openAutoTokenizer } from './tokenizer/auto-tokenizer.ts';
import { readTokenizerFiles } from './tokenizer/files.ts';
import type { Encoding } from './tokenizer/offsets.ts';
import { NotFollowed } from './tokenizer/read.ts';

export { TOKENIZER_FILE } from './tokenizer/files.ts';

export interface TextTokenizer {
  /** One more than the highest id, so that gaps in the ids count. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** Texts of the special tokens by their names: bos_token, eos_token, pad_token and so on. */
  readonly specialTokens: ReadonlyMap<string, string>;
  /** What a person should know of the files: where transformers' ids, which these are, are not what a file asks for. */
  readonly notes: readonly string[];
  /**
   * Token ids; with the special tokens the tokenizer itself adds (a BOS in front, usually) unless told otherwise.
   * DataError for text that is not Unicode.
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** As `encode` without special tokens of its own, and where in the text each token stands, as Rust's `tokenizers` says. */
  encodeWithOffsets(text: string): Encoding;
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
}

/**
 * Loads tokenizer.json and, where there are such, tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json,
 * which says what class transformers takes. What ids depend on and is not followed is a DataError.
 * @param modelVocabSize rows of the embedding: DataError when an id lies beyond them
 */
export async function loadTokenizer(reader: FileReader, modelVocabSize?: number): Promise<TextTokenizer> {
  const files = await readTokenizerFiles(reader);
  const { pipeline, idOf, named, notes } = openAutoTokenizer(files);
  const file = files.places.tokenizer;
  const last = pipeline.last();
  if (last === null) throw new DataError(file, 'holds no tokens. Was it saved by save_pretrained?');
  if (modelVocabSize !== undefined && last[1] >= modelVocabSize) {
    throw new DataError(
      file,
      `token ${show(last[0])} has id ${last[1]}, the model's vocab_size is ${modelVocabSize}. Take the tokenizer of this model, or a model whose embedding was resized.`,
    );
  }
  const stray = pipeline.encode('', true).find((id) => id > last[1]);
  if (stray !== undefined)
    throw new DataError(file, `post_processor adds id ${stray}, which no token has; the highest is ${last[1]}.`);
  return {
    vocabSize: last[1] + 1,
    bosId: idOf('bos_token'),
    eosId: idOf('eos_token'),
    padId: idOf('pad_token'),
    specialTokens: named,
    notes,
    encodeWithOffsets: (text) => pipeline.encodeWithOffsets(text),
    encode: (text, { addSpecialTokens = true } = {}) => pipeline.encode(text, addSpecialTokens),
    decode: (ids, { skipSpecialTokens = false } = {}) => pipeline.decode(ids, skipSpecialTokens),
  };
}

/**
 * As loadTokenizer, but a tokenizer that nibble does not follow comes back as one that throws its DataError at the first text: rows of
 * input_ids need none. Its note says so.
 */
export async function openTokenizer(reader: FileReader, modelVocabSize: number): Promise<TextTokenizer> {
  try {
    return await loadTokenizer(reader, modelVocabSize);
  } catch (error) {
    if (!(error instanceof NotFollowed)) throw error;
    const refuse = (): never => {
      throw error;
    };
    const none = { bosId: null, eosId: null, padId: null, specialTokens: new Map<string, string>() };
    const refusals = { encode: refuse, encodeWithOffsets: refuse, decode: refuse };
    return { ...none, ...refusals, vocabSize: modelVocabSize, notes: [error.message] };
  }
}
