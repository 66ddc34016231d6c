/** Sets of code points at the Unicode versions of Rust's `tokenizers`, whatever version the JavaScript engine has. */
import { TABLES } from './unicode-tables.ts';

type Ranges = readonly (readonly [first: number, last: number])[];
type TableName = keyof typeof TABLES;

/** General categories by their first letter, LC and `Any` aside: what Oniguruma unites under one name. */
const GROUPS: { readonly [name: string]: readonly TableName[] } = {
  L: ['Lu', 'Ll', 'Lt', 'Lm', 'Lo'],
  M: ['Mn', 'Mc', 'Me'],
  N: ['Nd', 'Nl', 'No'],
  P: ['Pc', 'Pd', 'Ps', 'Pe', 'Pi', 'Pf', 'Po'],
  S: ['Sm', 'Sc', 'Sk', 'So'],
  Z: ['Zs', 'Zl', 'Zp'],
  /** \w as Oniguruma has it. */
  Word: ['Alphabetic', 'Mn', 'Mc', 'Me', 'Nd', 'Pc'],
};

/** White_Space has not changed since Unicode 6.3: U+0085 is part of it, U+FEFF is not. JavaScript's \s has it the other way. */
export const WHITE_SPACE = '\\p{White_Space}';

const sources = new Map<string, string>();

/** The inside of a character class (flag v) that matches a property by its Oniguruma name; null for a name without a table. */
export function classOf(property: string): string | null {
  const known = sources.get(property);
  if (known !== undefined) return known;
  const names = GROUPS[property] ?? (Object.hasOwn(TABLES, property) ? [property as TableName] : null);
  if (names === null) return null;
  const source = names.map((name) => rangesOf(name).map(rangeSource).join('')).join('');
  sources.set(property, source);
  return source;
}

/** A test of single characters, by a table's name. */
export function memberOf(name: TableName): (char: string) => boolean {
  const pattern = new RegExp(`^[${classOf(name)}]$`, 'v');
  return (char) => pattern.test(char);
}

function rangesOf(name: TableName): Ranges {
  let end = 0;
  return TABLES[name].split(' ').map((range) => {
    const [gap, length = '1'] = range.split('.');
    const first = end + Number.parseInt(gap!, 36);
    end = first + Number.parseInt(length, 36);
    return [first, end - 1] as const;
  });
}

function rangeSource([first, last]: readonly [number, number]): string {
  const escaped = (point: number): string => `\\u{${point.toString(16)}}`;
  return first === last ? escaped(first) : `${escaped(first)}-${escaped(last)}`;
}
