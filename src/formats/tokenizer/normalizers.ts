/** Normalizers of tokenizer.json, as Rust's `tokenizers` runs them. */
import { show } from '../../config/show.ts';
import { toByteChars } from './bytes.ts';
import type { Part } from './read.ts';
import { translate } from './regex.ts';
import { byPattern } from './split.ts';
import { classOf, WHITE_SPACE } from './unicode.ts';

export type Normalizer = (text: string) => string;

const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'] as const;

/** @throws DataError for a kind that nibble does not follow */
export function normalizerOf(part: Part | null): Normalizer | null {
  if (part === null) return null;
  const type = part.text('type');
  const form = FORMS.find((name) => name === type);
  if (form !== undefined) return unicodeForm(form);
  switch (type) {
    case 'Sequence':
      return sequence(part.objects('normalizers').map(normalizerOf));
    case 'Replace':
      return replace(part);
    case 'Prepend': {
      const prefix = part.text('prepend');
      return (text) => (text === '' ? text : prefix + text);
    }
    case 'Strip':
      return strip(part.flag('strip_left'), part.flag('strip_right'));
    case 'Lowercase':
      // code point by code point: JavaScript knows a final sigma, Rust's char does not
      return (text) => Array.from(text, (char) => char.toLowerCase()).join('');
    case 'ByteLevel':
      return toByteChars;
    default:
      throw part.unsupported('type', `is ${show(type)}, a normalizer`);
  }
}

function sequence(steps: readonly (Normalizer | null)[]): Normalizer {
  return (text) => steps.reduce((so_far, step) => (step === null ? so_far : step(so_far)), text);
}

/** Characters that newer tables of Unicode compose or reorder stand between stretches that are normalized by themselves. */
function unicodeForm(form: (typeof FORMS)[number]): Normalizer {
  const never = new RegExp(`([${classOf('NeverNormalized')}]+)`, 'v');
  return (text) => {
    if (/^[\0-\x7f]*$/.test(text)) return text;
    if (!never.test(text)) return text.normalize(form);
    // split keeps what its group matched, at the odd places
    return text
      .split(never)
      .map((stretch, i) => (i % 2 === 1 ? stretch : stretch.normalize(form)))
      .join('');
  };
}

/** A field `pattern`: {"String": ...} as it stands, {"Regex": ...} as Oniguruma reads it. */
export function patternOf(part: Part): RegExp {
  const pattern = part.object('pattern');
  const literal = pattern.textOrNull('String');
  if (literal !== null) return new RegExp(literal.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), 'gv');
  const source = pattern.text('Regex');
  try {
    return translate(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw pattern.unsupported('Regex', `is ${show(source)} (${reason})`);
  }
}

/** Replaces the matches that `split` finds, which are not always those of String.replaceAll. */
export function replace(part: Part): Normalizer {
  const find = byPattern(patternOf(part));
  const content = part.text('content');
  return (text) =>
    find(text)
      .map(({ start, end, match }) => (match ? content : text.slice(start, end)))
      .join('');
}

function strip(left: boolean, right: boolean): Normalizer {
  const leading = new RegExp(`^${WHITE_SPACE}+`, 'v');
  return (text) => {
    const start = left ? (leading.exec(text)?.[0].length ?? 0) : 0;
    return right ? text.slice(start, endWithoutSpace(text, start)) : text.slice(start);
  };
}

const SPACE = new RegExp(WHITE_SPACE, 'v');

/** Index behind the last character before `from` that is no white space, at least `start`; linear, unlike a search for \s+$. */
export function endWithoutSpace(text: string, start = 0, from = text.length): number {
  let end = from;
  while (end > start && SPACE.test(text[end - 1]!)) end--;
  return end;
}
