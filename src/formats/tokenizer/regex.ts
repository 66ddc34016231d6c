/** Oniguruma's regular expressions, which tokenizer.json holds, as JavaScript's, at Oniguruma's version of Unicode. */
import { toRegExpDetails } from 'oniguruma-to-es';
import { classOf, WHITE_SPACE } from './unicode.ts';

/** Long names of what the tables have under a short one, and the names that the translation puts for POSIX brackets. */
const ALIASES: { readonly [name: string]: string } = {
  Letter: 'L',
  Mark: 'M',
  Number: 'N',
  Punctuation: 'P',
  Symbol: 'S',
  Separator: 'Z',
  Uppercase_Letter: 'Lu',
  Lowercase_Letter: 'Ll',
  Titlecase_Letter: 'Lt',
  Modifier_Letter: 'Lm',
  Other_Letter: 'Lo',
  Decimal_Number: 'Nd',
  Alpha: 'Alphabetic',
  Upper: 'Uppercase',
  Lower: 'Lowercase',
};
const SPACE_NAMES = ['space', 'White_Space', 'WSpace'];
/** Properties of ASCII, the same in every version of Unicode. */
const ASCII_NAMES = ['AHex', 'ASCII_Hex_Digit', 'ASCII'];

/** \w in a character class. By itself it has the superscripts and fractions of Latin-1 too. */
const WORD_IN_CLASS = '\\p{Word}';
const WORD = '[\\p{Word}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]';
const NO_WORD = '[^\\p{Word}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]';
const BOUNDARY = `(?:(?<=${WORD})(?!${WORD})|(?<!${WORD})(?=${WORD}))`;
const NO_BOUNDARY = `(?:(?<=${WORD})(?=${WORD})|(?<!${WORD})(?!${WORD}))`;
/** What Oniguruma's case folding adds to ASCII letters beside the other case. */
const FOLDED: { readonly [letter: string]: string } = { s: '\\u017F', k: '\\u212A' };
/** Strings that Oniguruma folds from one character (as ss from the sharp s): groups with these are not translated. */
const FOLDED_FROM_ONE = /ss|st|ff|fi|fl/i;

/** Matches without captures, flags g and v. @throws Error naming what has no counterpart */
export function translate(pattern: string): RegExp {
  const { source, flags } = translated(prepared(pattern));
  return new RegExp(withTables(source), flags);
}

function translated(pattern: string): { source: string; flags: string } {
  const {
    pattern: source,
    flags,
    options,
  } = toRegExpDetails(pattern, {
    accuracy: 'strict',
    target: 'ES2024',
    global: true,
  });
  if (flags.includes('i')) throw new Error('it ignores case outside of a (?i:...) group of plain ASCII');
  if ((options?.strategy ?? null) !== null) throw new Error('it needs a search position (\\G)');
  return { source, flags };
}

/** Replaces what the translation takes from JavaScript's Unicode before it sees it: words, borders of words, and case. */
function prepared(pattern: string): string {
  const token = /\(\?i:|\(\?<?[=!>:]|[()]|\\[pP]\{[^}]*\}|\\.|\[|\]|[\s\S]/gsuy;
  const groups: boolean[] = [];
  let out = '';
  let depth = 0;
  for (const [text] of pattern.matchAll(token)) {
    const folding = groups.at(-1) ?? false;
    if (text === '[') depth++;
    if (text === ']' && depth > 0) depth--;
    if (depth > 0 || text === ']') {
      if (folding) throw new Error('it has a character class in a (?i:...) group');
      out += inClass(text);
      continue;
    }
    if (text === ')') groups.pop();
    else if (text === '(?i:') groups.push(true);
    else if (text.startsWith('(')) groups.push(folding);
    out += text === '(?i:' ? '(?:' : folding ? folded(text) : outsideClass(text);
  }
  checkFolding(pattern);
  return out;
}

function inClass(text: string): string {
  if (text === '\\w') return WORD_IN_CLASS;
  return text === '\\W' ? `[^${WORD_IN_CLASS}]` : text;
}

function outsideClass(text: string): string {
  const words: { readonly [shorthand: string]: string } = {
    '\\w': WORD,
    '\\W': NO_WORD,
    '\\b': BOUNDARY,
    '\\B': NO_BOUNDARY,
  };
  return words[text] ?? text;
}

/** A character of a (?i:...) group as the class of what it matches. */
function folded(text: string): string {
  if (/^[a-z]$/i.test(text)) {
    const lower = text.toLowerCase();
    return `[${lower}${lower.toUpperCase()}${FOLDED[lower] ?? ''}]`;
  }
  if (/^[\x20-\x7e]$/.test(text) || text.startsWith('(')) return text;
  throw new Error(`it has ${text} in a (?i:...) group`);
}

function checkFolding(pattern: string): void {
  if (/\(\?(?!i:)[a-zA-Z-]*i[a-zA-Z-]*[:)]/.test(pattern))
    throw new Error('it ignores case by another form than (?i:...)');
  for (const [group] of pattern.matchAll(/\(\?i:[^)]*\)/g)) {
    if (FOLDED_FROM_ONE.test(group.slice(4)))
      throw new Error(`it ignores the case of letters that fold together (${group})`);
  }
}

/** Replaces the properties by the tables. Classes nest under flag v, so that one form serves inside and outside of them. */
function withTables(source: string): string {
  return source.replace(
    /\\(?:([pP])\{([^}]+)\}|[\s\S])/g,
    (written, kind: string | undefined, name: string | undefined) => {
      if (kind === undefined || name === undefined) return written;
      const plain = name.replace(/^sc=/, '');
      if (SPACE_NAMES.includes(plain)) return kind === 'p' ? WHITE_SPACE : `[^${WHITE_SPACE}]`;
      if (ASCII_NAMES.includes(plain)) return written;
      const inside = classOf(ALIASES[plain] ?? plain);
      if (inside === null) throw new Error(`it has ${written}, a property without a table here`);
      return kind === 'p' ? `[${inside}]` : `[^${inside}]`;
    },
  );
}
