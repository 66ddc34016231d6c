/** Methods of Python's str that templates call, on code points where that makes a difference. */
import { integer, isList, isMapping, isText, list, str, text, type Value } from './values.ts';

/** White space as str.strip and str.split see it. */
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const IS_SPACE = new RegExp(SPACE);
const SPACES = new RegExp(`${SPACE}+`);

/** Ends of lines as str.splitlines sees them. */
const LINE_END_CHARS = '\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029';
const LINE = new RegExp(`[^${LINE_END_CHARS}]*(?:\\r\\n|[${LINE_END_CHARS}])|[^${LINE_END_CHARS}]+$`, 'g');
const LINE_END = new RegExp(`[${LINE_END_CHARS}]+$`);

type Method = (self: string, args: readonly (Value | undefined)[]) => Value;

/** A text, or null where it was not given or None. @throws Error for anything else, as Python does */
function argument(args: readonly (Value | undefined)[], index: number): string | null {
  const value = args[index];
  if (value === undefined || value.type === 'NullValue') return null;
  if (!isText(value)) throw new Error(`expected a text as argument ${index + 1}, got ${str(value)}`);
  return value.value;
}

/** A text that has to be given. */
function required(args: readonly (Value | undefined)[], index: number): string {
  const value = argument(args, index);
  if (value === null) throw new Error(`expected a text as argument ${index + 1}`);
  return value;
}

function whole(value: Value | undefined, otherwise: number): number {
  if (value === undefined || value.type === 'NullValue') return otherwise;
  if (value.type !== 'IntegerValue') throw new Error(`expected a whole number, got ${str(value)}`);
  return Number(value.value);
}

/** Strips white space, or the characters of `chars`, at the ends that are named. */
export function strip(self: string, chars: string | null, ends: { left?: boolean; right?: boolean }): string {
  const set = chars === null ? null : new Set(chars);
  // white space has no pairs of surrogates; characters that are given may have some
  const points = set === null ? self : Array.from(self);
  const falls = (point: string): boolean => (set === null ? IS_SPACE.test(point) : set.has(point));
  let [from, to] = [0, points.length];
  while (ends.left === true && from < to && falls(points[from]!)) from++;
  while (ends.right === true && to > from && falls(points[to - 1]!)) to--;
  const rest = points.slice(from, to);
  return typeof rest === 'string' ? rest : rest.join('');
}

function split(self: string, args: readonly (Value | undefined)[], fromRight: boolean): Value {
  const separator = argument(args, 0);
  const most = whole(args[1], -1);
  if (separator === '') throw new Error('empty separator');
  if (separator === null) return list((most < 0 ? words(self) : someWords(self, most, fromRight)).map(text));
  const parts = self.split(separator);
  if (most < 0 || parts.length <= most + 1) return list(parts.map(text));
  const joined = fromRight
    ? [parts.slice(0, parts.length - most).join(separator), ...parts.slice(parts.length - most)]
    : [...parts.slice(0, most), parts.slice(most).join(separator)];
  return list(joined.map(text));
}

const words = (self: string): string[] =>
  strip(self, null, { left: true, right: true })
    .split(SPACES)
    .filter((word) => word !== '');

/** Splits off `most` words at one end; the rest keeps its space but for that end. */
function someWords(self: string, most: number, fromRight: boolean): string[] {
  const end = fromRight ? { right: true } : { left: true };
  const found: string[] = [];
  let rest = strip(self, null, end);
  while (found.length < most && rest !== '') {
    const first = wordAtEnd(rest, fromRight);
    found.push(first);
    rest = strip(fromRight ? rest.slice(0, -first.length) : rest.slice(first.length), null, end);
  }
  const all = rest === '' ? found : [...found, rest];
  return fromRight ? all.reverse() : all;
}

/** The word at an end that has one; a search for the last would try every letter as its first. */
function wordAtEnd(self: string, fromRight: boolean): string {
  const step = fromRight ? -1 : 1;
  let at = fromRight ? self.length - 1 : 0;
  while (at >= 0 && at < self.length && !IS_SPACE.test(self[at]!)) at += step;
  return fromRight ? self.slice(at + 1) : self.slice(0, at);
}

function replace(self: string, args: readonly (Value | undefined)[]): Value {
  const [old, fresh] = [required(args, 0), required(args, 1)];
  const most = whole(args[2], -1);
  if (old === '') {
    const points = Array.from(self);
    const count = most < 0 ? points.length + 1 : most;
    return text(
      points.map((point, i) => (i < count ? fresh : '') + point).join('') + (points.length < count ? fresh : ''),
    );
  }
  const parts = self.split(old);
  const cut = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  return text([parts.slice(0, cut + 1).join(fresh), ...parts.slice(cut + 1)].join(old));
}

/** Where a text stands within a range, in code points; -1 where it does not. */
function found(self: string, args: readonly (Value | undefined)[], last: boolean): Value {
  const points = Array.from(self);
  const [from, to] = range(points.length, args);
  const wanted = required(args, 0);
  if (from > to) return integer(-1);
  const within = points.slice(from, to).join('');
  const at = last ? within.lastIndexOf(wanted) : within.indexOf(wanted);
  return integer(at < 0 ? -1 : from + Array.from(within.slice(0, at)).length);
}

function count(self: string, args: readonly (Value | undefined)[]): Value {
  const points = Array.from(self);
  const [from, to] = range(points.length, args);
  const wanted = required(args, 0);
  if (from > to) return integer(0);
  if (wanted === '') return integer(to - from + 1);
  return integer(points.slice(from, to).join('').split(wanted).length - 1);
}

/** The optional second and third argument as Python reads a slice; the start may lie past the end. */
function range(length: number, args: readonly (Value | undefined)[]): [from: number, to: number] {
  const clamped = (at: number): number => Math.max(0, at < 0 ? at + length : at);
  return [clamped(whole(args[1], 0)), Math.min(length, clamped(whole(args[2], length)))];
}

/** Letters that are two, by their upper case; each has a form with one of them large. */
const DIGRAPHS: Readonly<Record<string, string>> = { Ǆ: 'ǅ', Ǉ: 'ǈ', Ǌ: 'ǋ', Ǳ: 'ǲ' };

/** Georgian has capitals for whole words alone. */
const HAS_NO_LARGE = /^[\u10d0-\u10fa\u10fd-\u10ff]/;

/** A word with its first letter large, where that letter becomes two ("ß") the first of them. */
export function capitalized(word: string): string {
  const [first = '', ...rest] = Array.from(word);
  const [large = '', ...more] = Array.from(first.toUpperCase());
  const begins = HAS_NO_LARGE.test(first) ? first : (DIGRAPHS[large] ?? large);
  return begins + more.join('').toLowerCase() + rest.join('').toLowerCase();
}

const WORD_BEGINS = new RegExp(`((?:[-({\\[<]|${SPACE})+)`);

/** Jinja's filter title, which is not the method: a word begins after white space, a hyphen or an opening bracket. */
export function titleOfFilter(self: string): string {
  const large = ([first = '', ...rest]: string[]): string => first.toUpperCase() + rest.join('').toLowerCase();
  return self
    .split(WORD_BEGINS)
    .map((part) => large(Array.from(part)))
    .join('');
}

/** A method and the names of its arguments; `named` of them may be given by name. */
type Entry = { readonly run: Method; readonly takes: readonly string[]; readonly named?: true };

const METHODS: Readonly<Record<string, Entry>> = {
  strip: { run: (self, args) => text(strip(self, argument(args, 0), { left: true, right: true })), takes: ['chars'] },
  lstrip: { run: (self, args) => text(strip(self, argument(args, 0), { left: true })), takes: ['chars'] },
  rstrip: { run: (self, args) => text(strip(self, argument(args, 0), { right: true })), takes: ['chars'] },
  split: { run: (self, args) => split(self, args, false), takes: ['sep', 'maxsplit'], named: true },
  rsplit: { run: (self, args) => split(self, args, true), takes: ['sep', 'maxsplit'], named: true },
  splitlines: {
    run: (self, [keepends]) => {
      const lines = self.match(LINE) ?? [];
      const keeps = keepends?.value === true;
      return list(lines.map((line) => text(keeps ? line : line.replace(LINE_END, ''))));
    },
    takes: ['keepends'],
    named: true,
  },
  replace: { run: replace, takes: ['old', 'new', 'count'] },
  removeprefix: {
    run: (self, args) => {
      const prefix = required(args, 0);
      return text(self.startsWith(prefix) ? self.slice(prefix.length) : self);
    },
    takes: ['prefix'],
  },
  removesuffix: {
    run: (self, args) => {
      const suffix = required(args, 0);
      return text(suffix !== '' && self.endsWith(suffix) ? self.slice(0, -suffix.length) : self);
    },
    takes: ['suffix'],
  },
  find: { run: (self, args) => found(self, args, false), takes: ['sub', 'start', 'end'] },
  rfind: { run: (self, args) => found(self, args, true), takes: ['sub', 'start', 'end'] },
  count: { run: count, takes: ['sub', 'start', 'end'] },
  join: {
    run: (self, [items]) => {
      if (isList(items)) return text(items.value.map((item) => required([item], 0)).join(self));
      if (isText(items)) return text(Array.from(items.value).join(self));
      throw new Error('join() needs a list');
    },
    takes: ['iterable'],
  },
  capitalize: { run: (self) => text(capitalized(self)), takes: [] },
  title: { run: (self) => text(self.replace(/\p{Cased}+/gu, capitalized)), takes: [] },
};

/** Puts arguments given by name into their places. @throws Error for a name or a number of them that Python refuses */
function placed(name: string, { takes, named }: Entry, args: readonly Value[]): readonly (Value | undefined)[] {
  const last = args.at(-1);
  const byName = last?.type === 'KeywordArgumentsValue' && isMapping(last) ? last.value : null;
  const inOrder: (Value | undefined)[] = byName === null ? [...args] : args.slice(0, -1);
  if (inOrder.length > takes.length)
    throw new Error(`${name}() takes at most ${takes.length} arguments, got ${inOrder.length}`);
  for (const [key, value] of byName ?? []) {
    const at = named === true ? takes.indexOf(key) : -1;
    if (at < 0) throw new Error(`${name}() takes no argument by the name ${key}`);
    if (at < inOrder.length && inOrder[at] !== undefined) throw new Error(`${name}() got ${key} twice`);
    inOrder[at] = value;
  }
  return inOrder;
}

/** By name; what returns a truth value stays with the engine. @throws Error where Python would */
export const STRING_METHODS: Readonly<Record<string, (self: string, args: readonly Value[]) => Value>> =
  Object.fromEntries(
    Object.entries(METHODS).map(([name, entry]) => [name, (self, args) => entry.run(self, placed(name, entry, args))]),
  );
