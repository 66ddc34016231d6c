/**
 * The tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json name, put together as `from_pretrained` of
 * transformers 5.24 does (tokenization_utils_base.py, tokenization_utils_tokenizers.py).
 */

import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import { isObject } from '../json.ts';
import { type AddedToken, addedTokenOf } from './added-tokens.ts';
import type { TokenizerClass } from './auto-class.ts';
import type { TokenizerFiles } from './files.ts';
import { isTokenId, Part } from './read.ts';
import { DEFAULT_TOKENS } from './rebuilt.ts';

const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** A token as a file gives it: its text, which makes it special, or the text with its flags. */
type Given = string | AddedToken;

export type SpecialTokens = {
  /** By the index that a file gives them, which is an order and, where it is not the id, worth a note. */
  readonly listed: ReadonlyMap<number, AddedToken>;
  /** bos_token and its kin, then the names that only this model has. */
  readonly named: ReadonlyMap<string, Given>;
  readonly extra: readonly Given[];
};

/** @throws DataError */
export function readSpecialTokens(files: TokenizerFiles, name: TokenizerClass): SpecialTokens {
  const settings = new Settings(files);
  const listed = new Map<number, AddedToken>();
  const add = (index: number, token: AddedToken): void => {
    listed.set(index, token);
    settings.known.set(token.content, token);
  };
  const decoder = files.config.added_tokens_decoder;
  if (decoder === undefined) {
    settings.mergeMap();
    for (const [index, token] of legacyTokens(files, settings)) add(index, token);
  } else {
    for (const [index, token] of decoderTokens(decoder, files.places.config)) add(index, token);
  }
  const defaults = name === 'TokenizersBackend' ? {} : DEFAULT_TOKENS[name];
  return { listed, named: settings.named(defaults), extra: settings.extra() };
}

/** transformers' init_kwargs, as far as they hold tokens. */
class Settings {
  readonly known = new Map<string, AddedToken>();
  readonly #files: TokenizerFiles;
  /** Key, value and the file that gave it. */
  readonly #values = new Map<string, readonly [value: unknown, file: string]>();
  readonly #ofModel = new Map<string, readonly [value: unknown, file: string]>();

  constructor(files: TokenizerFiles) {
    this.#files = files;
    const file = files.places.config;
    for (const [key, value] of Object.entries(files.config)) this.#values.set(key, [value, file]);
    const older = this.#values.get('additional_special_tokens');
    if (older !== undefined && isEmpty(this.#values.get('extra_special_tokens')?.[0])) {
      this.#values.set('extra_special_tokens', older);
      this.#values.delete('additional_special_tokens');
    }
    for (const [key, entry] of this.#values) {
      if (!isOwnName(key) || typeof entry[0] !== 'string') continue;
      this.#ofModel.set(key, entry);
      this.#values.delete(key);
    }
    this.#takeNames('model_specific_special_tokens');
    this.#takeNames('extra_special_tokens');
  }

  /** special_tokens_map.json, which is older and, where it is read, says more. */
  mergeMap(): void {
    const file = this.#files.places.specialTokensMap;
    for (const [key, value] of Object.entries(this.#files.specialTokensMap)) {
      if (key === 'extra_special_tokens' && Array.isArray(value)) {
        const before = this.#values.get(key)?.[0];
        this.#values.set(key, [[...(Array.isArray(before) ? before : []), ...value], file]);
      } else if (isObject(value) && key !== 'extra_special_tokens') {
        const { special: _, __type, ...flags } = value;
        this.#values.set(key, [{ ...flags, special: true }, file]);
      } else this.#values.set(key, [value, file]);
    }
    this.#takeNames('extra_special_tokens');
  }

  /** Contents of the tokens that count as special, for added_tokens.json. */
  specialContents(): Set<string> {
    const list = this.#values.get('extra_special_tokens')?.[0];
    const tokens = [...NAMED.map((key) => this.#values.get(key)?.[0]), ...(Array.isArray(list) ? list : [])];
    return new Set(
      tokens.map((token) => (isObject(token) ? token.content : token)).filter((text) => typeof text === 'string'),
    );
  }

  named(defaults: Readonly<Record<string, string>>): Map<string, Given> {
    const named = new Map<string, Given>();
    for (const key of NAMED) {
      const entry = this.#values.get(key) ?? this.#fallback(key, defaults);
      const token = entry === undefined ? null : given(key, entry);
      if (token !== null) named.set(key, this.known.get(contentOf(token)) ?? token);
    }
    for (const [key, entry] of this.#values)
      if (isOwnName(key) && isObject(entry[0])) named.set(key, given(key, entry)!);
    for (const [key, entry] of this.#ofModel) {
      const token = given(key, entry);
      if (token !== null) named.set(key, token);
    }
    return named;
  }

  extra(): Given[] {
    const entry = this.#values.get('extra_special_tokens') ?? this.#values.get('additional_special_tokens');
    const [list, file] = entry ?? [[], ''];
    if ((list ?? null) === null) return [];
    if (!Array.isArray(list))
      throw new DataError(file, `extra_special_tokens is ${show(list)}, needs a list of tokens.`);
    return list.map((token) => given('extra_special_tokens', [token, file])).filter((token) => token !== null);
  }

  /** The class's own token, and the pad token of tokenizer.json's padding. */
  #fallback(key: string, defaults: Readonly<Record<string, string>>): readonly [unknown, string] | undefined {
    const { tokenizer, places } = this.#files;
    if (defaults[key] !== undefined) return [defaults[key], places.tokenizer];
    const padding = tokenizer.padding;
    return key === 'pad_token' && isObject(padding) ? [padding.pad_token, places.tokenizer] : undefined;
  }

  /** An object of names and tokens becomes the model's own names. */
  #takeNames(key: string): void {
    const entry = this.#values.get(key);
    if (entry === undefined || !isObject(entry[0])) return;
    for (const [name, token] of Object.entries(entry[0])) this.#ofModel.set(name, [token, entry[1]]);
    this.#values.delete(key);
  }
}

function isOwnName(key: string): boolean {
  return key.endsWith('_token') && !NAMED.includes(key) && !['add_bos_token', 'add_eos_token'].includes(key);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

function given(key: string, [value, file]: readonly [unknown, string]): Given | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return value;
  if (isObject(value)) return addedTokenOf(new Part(value, file, key));
  throw new DataError(file, `${key} is ${show(value)}, needs a token: its text, or an object with "content".`);
}

export function contentOf(token: Given): string {
  return typeof token === 'string' ? token : token.content;
}

function decoderTokens(decoder: unknown, file: string): [number, AddedToken][] {
  if (!isObject(decoder)) throw new DataError(file, `added_tokens_decoder is ${show(decoder)}, needs an object.`);
  const part = new Part(decoder, file, 'added_tokens_decoder');
  return Object.keys(decoder).map((key) => {
    const index = Number(key);
    if (!/^\d+$/.test(key) || !isTokenId(index))
      throw part.error(null, `has the key ${show(key)}, needs token ids, whole numbers below 2^31.`);
    return [index, addedTokenOf(part.object(key))];
  });
}

/** What holds without added_tokens_decoder: added_tokens.json, and over it the added tokens of tokenizer.json. */
function* legacyTokens(files: TokenizerFiles, settings: Settings): Generator<[number, AddedToken]> {
  const special = settings.specialContents();
  const plain = { single_word: false, lstrip: false, rstrip: false };
  for (const [content, id] of Object.entries(files.addedTokens)) {
    if (!isTokenId(id))
      throw new DataError(
        files.places.addedTokens,
        `gives ${show(content)} the id ${show(id)}, needs a whole number below 2^31.`,
      );
    yield [id, { content, ...plain, normalized: !special.has(content), special: special.has(content) }];
  }
  for (const part of addedTokenParts(files)) yield [part.id('id'), addedTokenOf(part)];
}

/** `added_tokens` of tokenizer.json. */
export function addedTokenParts({ tokenizer, places }: TokenizerFiles): readonly Part[] {
  const part = new Part(tokenizer, places.tokenizer);
  return part.has('added_tokens') ? part.objects('added_tokens') : [];
}

/** The tokens as transformers adds them to what the backend has, in order. */
export function missingTokens(tokens: SpecialTokens, present: readonly AddedToken[]): AddedToken[] {
  const known = new Set(present.map(identityOf));
  const missing: Given[] = [...tokens.listed]
    .sort(([a], [b]) => a - b)
    .map(([, token]) => token)
    .filter((token) => !known.has(identityOf(token)));
  const encoder = new Set([...present, ...missing].map(contentOf));
  const more = new Map<string, Given>();
  for (const token of [...tokens.named.values(), ...tokens.extra]) {
    const identity = identityOf(token);
    if (!encoder.has(contentOf(token)) && !more.has(identity)) more.set(identity, token);
  }
  for (const token of more.values()) missing.push(token);
  const names = new Set([...tokens.named.values()].map(contentOf));
  return missing.map((token) =>
    typeof token === 'string' ? specialToken(token) : names.has(token.content) ? { ...token, special: true } : token,
  );
}

const FIELDS = ['content', 'single_word', 'lstrip', 'rstrip', 'normalized', 'special'] as const;

export function isSame(a: AddedToken, b: AddedToken): boolean {
  return FIELDS.every((key) => a[key] === b[key]);
}

/** The same for two tokens that are alike: with all their flags, or as bare texts. */
function identityOf(token: Given): string {
  return JSON.stringify(typeof token === 'string' ? token : FIELDS.map((key) => token[key]));
}

export function specialToken(content: string): AddedToken {
  return { content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}
