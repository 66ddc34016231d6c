/** Methods of Python's str that templates call, on code points where that makes a difference. */
import { integer, isList, isText, list, str, text, type Value } from './values.ts';

/** White space as str.strip and str.split see it. */
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const LEADING = new RegExp(`^${SPACE}+`);
const TRAILING = new RegExp(`${SPACE}+$`);

/** Ends of lines as str.splitlines sees them. */
const LINE_END_CHARS = '\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029';
const LINE_ENDS = new RegExp(`\\r\\n|[${LINE_END_CHARS}]`);

type Method = (self: string, args: readonly Value[]) => Value;

const argument = (args: readonly Value[], index: number): string | null => {
  const value = args[index];
  return value === undefined || value.type === 'NullValue' ? null : str(value);
};

/** Strips white space, or the characters of `chars`, at the ends that are named. */
export function strip(self: string, chars: string | null, ends: { left?: boolean; right?: boolean }): string {
  if (chars === null) {
    const left = ends.left === true ? self.replace(LEADING, '') : self;
    return ends.right === true ? left.replace(TRAILING, '') : left;
  }
  const set = new Set(chars);
  const points = Array.from(self);
  let [from, to] = [0, points.length];
  while (ends.left === true && from < to && set.has(points[from]!)) from++;
  while (ends.right === true && to > from && set.has(points[to - 1]!)) to--;
  return points.slice(from, to).join('');
}

function split(self: string, args: readonly Value[], fromRight: boolean): Value {
  const separator = argument(args, 0);
  const most = args[1]?.type === 'IntegerValue' ? (args[1].value as number) : -1;
  const parts = separator === null ? words(self) : self.split(separator);
  if (separator === '') throw new Error('empty separator');
  if (most < 0 || parts.length <= most + 1) return list(parts.map(text));
  if (separator === null) return list(someWords(self, most, fromRight).map(text));
  const joined = fromRight
    ? [parts.slice(0, parts.length - most).join(separator), ...parts.slice(parts.length - most)]
    : [...parts.slice(0, most), parts.slice(most).join(separator)];
  return list(joined.map(text));
}

const words = (self: string): string[] =>
  strip(self, null, { left: true, right: true })
    .split(new RegExp(`${SPACE}+`))
    .filter((word) => word !== '');

/** Splits off `most` words at one end; the rest keeps the space inside it. */
function someWords(self: string, most: number, fromRight: boolean): string[] {
  const found: string[] = [];
  const first = fromRight ? new RegExp(`${SPACE}*(\\S+)${SPACE}*$`) : new RegExp(`^${SPACE}*(\\S+)`);
  let rest = strip(self, null, { left: true, right: true });
  for (let i = 0; i < most; i++) {
    const word = first.exec(rest);
    if (word === null) break;
    found.push(word[1]!);
    rest = fromRight ? rest.slice(0, word.index) : rest.slice(word[0].length);
  }
  rest = strip(rest, null, { left: true, right: true });
  const all = rest === '' ? found : [...found, rest];
  return fromRight ? all.reverse() : all;
}

function replace(self: string, args: readonly Value[]): Value {
  const [old, fresh] = [argument(args, 0) ?? '', argument(args, 1) ?? ''];
  const most = args[2]?.type === 'IntegerValue' ? (args[2].value as number) : -1;
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

const position = (self: string, at: number): Value => integer(at < 0 ? -1 : Array.from(self.slice(0, at)).length);

/** By name; what returns a truth value stays with the engine. */
export const STRING_METHODS: Readonly<Record<string, Method>> = {
  strip: (self, args) => text(strip(self, argument(args, 0), { left: true, right: true })),
  lstrip: (self, args) => text(strip(self, argument(args, 0), { left: true })),
  rstrip: (self, args) => text(strip(self, argument(args, 0), { right: true })),
  split: (self, args) => split(self, args, false),
  rsplit: (self, args) => split(self, args, true),
  splitlines: (self) => {
    const lines = self.split(LINE_ENDS);
    return list((lines.at(-1) === '' ? lines.slice(0, -1) : lines).map(text));
  },
  replace,
  removeprefix: (self, args) => {
    const prefix = argument(args, 0) ?? '';
    return text(self.startsWith(prefix) ? self.slice(prefix.length) : self);
  },
  removesuffix: (self, args) => {
    const suffix = argument(args, 0) ?? '';
    return text(suffix !== '' && self.endsWith(suffix) ? self.slice(0, -suffix.length) : self);
  },
  find: (self, args) => position(self, self.indexOf(argument(args, 0) ?? '')),
  rfind: (self, args) => position(self, self.lastIndexOf(argument(args, 0) ?? '')),
  count: (self, args) => integer(self.split(argument(args, 0) ?? '').length - 1),
  join: (self, args) => {
    const [items] = args;
    if (isList(items)) return text(items.value.map(str).join(self));
    if (isText(items)) return text(Array.from(items.value).join(self));
    throw new Error('join() needs a list');
  },
  capitalize: (self) => {
    const [first = '', ...rest] = Array.from(self);
    return text(first.toUpperCase() + rest.join('').toLowerCase());
  },
  title: (self) => text(self.replace(/\p{L}+/gu, (word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase())),
};
