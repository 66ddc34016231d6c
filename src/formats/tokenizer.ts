/** A Hugging Face tokenizer directory: text into token ids and back. */
import { Tokenizer } from '@huggingface/tokenizers';
import { DataError } from '../errors.ts';
import { isObject, type JsonObject, readObject, show } from './json.ts';
import { type FileReader, place } from './reader.ts';

export const TOKENIZER_FILE = 'tokenizer.json';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const SPECIAL_TOKENS_FILE = 'special_tokens_map.json';

export interface TextTokenizer {
  /** One more than the highest id, so that gaps in the ids count. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** Token ids; with the special tokens the tokenizer itself adds (a BOS in front, usually) unless told otherwise. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
}

/**
 * Loads tokenizer.json and, where there are such, tokenizer_config.json and special_tokens_map.json.
 * @param modelVocabSize rows of the embedding: DataError when an id lies beyond them
 */
export async function loadTokenizer(reader: FileReader, modelVocabSize?: number): Promise<TextTokenizer> {
  const file = place(reader, TOKENIZER_FILE);
  const json = await readObject(reader, TOKENIZER_FILE);
  const config = await objectOrNone(reader, TOKENIZER_CONFIG_FILE);
  const tokenizer = build(json, config, file);
  let last: readonly [token: string, id: number] = ['', -1];
  for (const entry of tokenizer.get_vocab(true)) {
    if (entry[1] > last[1]) last = entry;
  }
  if (last[1] < 0) throw new DataError(file, 'holds no tokens. Was it saved by save_pretrained?');
  if (modelVocabSize !== undefined && last[1] >= modelVocabSize) {
    throw new DataError(
      file,
      `token ${show(last[0])} has id ${last[1]}, the model's vocab_size is ${modelVocabSize}. Take the tokenizer of this model, or a model whose embedding was resized.`,
    );
  }
  // as transformers 5.23 has it: the older file says more than the newer one, unless that lists its added tokens
  const older = config.added_tokens_decoder === undefined ? await objectOrNone(reader, SPECIAL_TOKENS_FILE) : {};
  const named: JsonObject = { ...config, ...older };
  const idOf = (key: string): number | null => {
    const token = contentOf(named[key]);
    return token === null ? null : (tokenizer.token_to_id(token) ?? null);
  };
  return {
    vocabSize: last[1] + 1,
    bosId: idOf('bos_token'),
    eosId: idOf('eos_token'),
    padId: idOf('pad_token'),
    encode: (text, { addSpecialTokens = true } = {}) =>
      tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids,
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      tokenizer.decode([...ids], { skip_special_tokens: skipSpecialTokens }),
  };
}

async function objectOrNone(reader: FileReader, file: string): Promise<JsonObject> {
  return (await reader.exists(file)) ? readObject(reader, file) : {};
}

function build(json: JsonObject, config: JsonObject, file: string): Tokenizer {
  try {
    return new Tokenizer(json, config);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(
      file,
      `is not a tokenizer nibble can run (${reason}). It needs the format of the tokenizers library.`,
      { cause },
    );
  }
}

/** A special token is its text, or an object whose `content` is. */
function contentOf(token: unknown): string | null {
  if (typeof token === 'string') return token;
  return isObject(token) && typeof token.content === 'string' ? token.content : null;
}
