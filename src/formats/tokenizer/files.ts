/** The files that a tokenizer is made of, as they lie in a model's directory. */
import { type JsonObject, readObject } from '../json.ts';
import { type FileReader, place } from '../reader.ts';

export const TOKENIZER_FILE = 'tokenizer.json';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const SPECIAL_TOKENS_FILE = 'special_tokens_map.json';
const ADDED_TOKENS_FILE = 'added_tokens.json';
const MODEL_CONFIG_FILE = 'config.json';

/** Parsed files and their places; an absent file is an empty object. */
export type TokenizerFiles = {
  readonly tokenizer: JsonObject;
  readonly config: JsonObject;
  readonly specialTokensMap: JsonObject;
  readonly addedTokens: JsonObject;
  readonly model: JsonObject;
  readonly places: Readonly<Record<'tokenizer' | 'config' | 'specialTokensMap' | 'addedTokens' | 'model', string>>;
};

export async function readTokenizerFiles(reader: FileReader): Promise<TokenizerFiles> {
  const readOr = async (file: string): Promise<JsonObject> =>
    (await reader.exists(file)) ? readObject(reader, file) : {};
  return {
    tokenizer: await readObject(reader, TOKENIZER_FILE),
    config: await readOr(TOKENIZER_CONFIG_FILE),
    specialTokensMap: await readOr(SPECIAL_TOKENS_FILE),
    addedTokens: await readOr(ADDED_TOKENS_FILE),
    model: await readOr(MODEL_CONFIG_FILE),
    places: {
      tokenizer: place(reader, TOKENIZER_FILE),
      config: place(reader, TOKENIZER_CONFIG_FILE),
      specialTokensMap: place(reader, SPECIAL_TOKENS_FILE),
      addedTokens: place(reader, ADDED_TOKENS_FILE),
      model: place(reader, MODEL_CONFIG_FILE),
    },
  };
}
