/** Typed access to the parts of tokenizer.json: the first field of another kind than wanted is a DataError with its path. */

import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import { isObject, type JsonObject } from '../json.ts';

/** What transformers does and nibble does not: rows that need no tokenizer can still be trained on. */
export class NotFollowed extends DataError {
  constructor(file: string, what: string) {
    super(
      file,
      `${what}, which nibble does not follow: its ids would be others than transformers'. Tokenize the rows with transformers and give input_ids.`,
    );
  }
}

/** Token ids are numbers of 32 bits for Rust, and above 2^31 none has an embedding. */
const ID_LIMIT = 2 ** 31;

export class Part {
  readonly json: JsonObject;
  readonly file: string;
  readonly path: string;

  constructor(json: JsonObject, file: string, path = '') {
    this.json = json;
    this.file = file;
    this.path = path;
  }

  /** The error of a field, or of the part itself where no key is given. */
  error(key: string | null, message: string): DataError {
    return new DataError(this.#place(key), message);
  }

  #place(key: string | null): string {
    const path = [this.path, key ?? ''].filter((part) => part !== '').join('.');
    return path === '' ? this.file : `${this.file}: ${path}`;
  }

  /** The error of what the tokenizers library does and nibble does not. */
  unsupported(key: string | null, what: string): NotFollowed {
    return new NotFollowed(this.#place(key), what);
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null;
  }

  text(key: string, byDefault?: string): string {
    const value = this.json[key] ?? byDefault;
    if (typeof value === 'string') return value;
    throw this.#wrong(key, 'a string');
  }

  textOrNull(key: string): string | null {
    return this.has(key) ? this.text(key) : null;
  }

  flag(key: string, byDefault?: boolean): boolean {
    const value = this.json[key] ?? byDefault;
    if (typeof value === 'boolean') return value;
    throw this.#wrong(key, 'true or false');
  }

  /** A whole number of at least `least`. */
  count(key: string, byDefault?: number, least = 0): number {
    const value = this.json[key] ?? byDefault;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    throw this.#wrong(key, `a whole number of at least ${least}`);
  }

  id(key: string): number {
    const value = this.json[key];
    if (isTokenId(value)) return value;
    throw this.#wrong(key, 'a token id, a whole number below 2^31');
  }

  oneOf<const T extends string>(key: string, allowed: readonly T[], byDefault?: T): T {
    const value = this.text(key, byDefault);
    const found = allowed.find((name) => name === value);
    if (found !== undefined) return found;
    throw this.#wrong(key, `one of ${allowed.join(', ')}`);
  }

  object(key: string): Part {
    const value = this.json[key];
    if (isObject(value)) return new Part(value, this.file, this.#below(key));
    throw this.#wrong(key, 'an object');
  }

  objectOrNull(key: string): Part | null {
    return this.has(key) ? this.object(key) : null;
  }

  list(key: string): readonly unknown[] {
    const value = this.json[key];
    if (Array.isArray(value)) return value;
    throw this.#wrong(key, 'a list');
  }

  objects(key: string): readonly Part[] {
    return this.list(key).map((value, i) => {
      if (isObject(value)) return new Part(value, this.file, `${this.#below(key)}[${i}]`);
      throw this.error(`${key}[${i}]`, `is ${show(value)}, needs an object.`);
    });
  }

  #below(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }

  #wrong(key: string, want: string): DataError {
    const value = this.json[key];
    return this.error(key, `${value === undefined ? 'is absent' : `is ${show(value)}`}, needs ${want}.`);
  }
}

export function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < ID_LIMIT;
}
