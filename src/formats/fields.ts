/** Typed access to the fields of a JSON object that collects every problem instead of stopping at the first. */

import { show } from '../config/show.ts';
import type { ConfigProblem } from '../errors.ts';
import { isObject, type JsonObject } from './json.ts';

/** A default of `undefined` makes the field required. null counts as absent, as Hugging Face files mean it. */
export class Fields {
  readonly #json: JsonObject;
  readonly #file: string;
  readonly #problems: ConfigProblem[];

  constructor(json: JsonObject, file: string, problems: ConfigProblem[]) {
    this.#json = json;
    this.#file = file;
    this.#problems = problems;
  }

  report(key: string, message: string): void {
    this.#problems.push({ path: `${this.#file}: ${key}`, message });
  }

  /** A whole number of at least 1. A default may be fractional: the caller says what that means. */
  count(key: string, byDefault?: number): number {
    return this.#pick(
      key,
      byDefault,
      'a whole number of at least 1',
      (value) => Number.isSafeInteger(value) && value >= 1,
    );
  }

  /** A whole number of at least 1, or null. */
  countOrNull(key: string): number | null {
    return (this.#json[key] ?? null) === null ? null : this.count(key);
  }

  /** A number above 0 that is so in float32 too, in which it is computed with. */
  positive(key: string, byDefault?: number): number {
    const fits = (value: number): boolean => Math.fround(value) > 0 && Math.fround(value) < Infinity;
    return this.#pick(key, byDefault, 'a number above 0, in float32 too', fits);
  }

  /** A finite number. */
  number(key: string, byDefault: number): number {
    return this.#pick(key, byDefault, 'a number', Number.isFinite);
  }

  /** A number in [0, 1) that is so in float32 too. */
  fraction(key: string, byDefault: number): number {
    return this.#pick(
      key,
      byDefault,
      'a number of at least 0 and below 1',
      (value) => value >= 0 && Math.fround(value) < 1,
    );
  }

  flag(key: string, byDefault: boolean): boolean {
    const value = this.#json[key] ?? byDefault;
    if (typeof value === 'boolean') return value;
    this.report(key, `is ${show(value)}, needs true or false.`);
    return byDefault;
  }

  text(key: string, byDefault: string): string {
    const value = this.#json[key] ?? byDefault;
    if (typeof value === 'string') return value;
    this.report(key, `is ${show(value)}, needs a string.`);
    return byDefault;
  }

  textOrNull(key: string): string | null {
    return this.#json[key] === undefined || this.#json[key] === null ? null : this.text(key, '');
  }

  object(key: string): JsonObject | null {
    const value = this.#json[key] ?? null;
    if (value === null || isObject(value)) return value;
    this.report(key, `is ${show(value)}, needs an object or null.`);
    return null;
  }

  token(key: string): number | null {
    const value = this.#json[key] ?? null;
    if (value === null || isTokenId(value)) return value;
    this.report(key, `is ${show(value)}, needs a token id or null.`);
    return null;
  }

  /** One id, a list of ids, or null for none. */
  tokens(key: string): readonly number[] {
    const value = this.#json[key] ?? [];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (list.every(isTokenId)) return list;
    this.report(key, `is ${show(value)}, needs a token id, a list of them, or null.`);
    return [];
  }

  /** A list of strings, one string, or null. */
  names(key: string): readonly string[] | string | null {
    const value = this.#json[key] ?? null;
    if (value === null || typeof value === 'string') return value;
    if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
    this.report(key, `is ${show(value)}, needs a string, a list of strings, or null.`);
    return null;
  }

  /** A list of `length` entries, each one of `allowed`, or null. */
  list<const T>(key: string, length: number, allowed: readonly T[]): readonly T[] | null {
    const value = this.#json[key] ?? null;
    if (value === null) return null;
    if (Array.isArray(value) && value.length === length && value.every((entry) => allowed.includes(entry)))
      return value;
    const known = allowed.map(show).join(' or ');
    this.report(key, `is ${show(value)}, needs a list of ${length} entries, each ${known}, or null.`);
    return null;
  }

  #pick(key: string, byDefault: number | undefined, want: string, fits: (value: number) => boolean): number {
    const value = this.#json[key] ?? null;
    if (value === null && byDefault !== undefined) return byDefault;
    if (typeof value === 'number' && fits(value)) return value;
    this.report(key, value === null ? `is absent, needs ${want}.` : `is ${show(value)}, needs ${want}.`);
    return byDefault ?? 1;
  }
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
