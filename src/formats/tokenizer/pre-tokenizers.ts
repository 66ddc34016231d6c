/** Pre-tokenizers of tokenizer.json, as Rust's `tokenizers` runs them. */
import { show } from '../../config/show.ts';
import { toByteChars } from './bytes.ts';
import { patternOf } from './normalizers.ts';
import type { Part } from './read.ts';
import { translate } from './regex.ts';
import { BEHAVIORS, byCharacter, byPattern, type Finder, inverted, splitText } from './split.ts';
import { classOf, memberOf, WHITE_SPACE } from './unicode.ts';

/** A piece of text on its way to the model, and whether it stands where the whole text begins. */
export type Piece = { readonly text: string; readonly first: boolean };
export type PreTokenizer = (pieces: readonly Piece[]) => Piece[];

const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** @throws DataError for a kind that nibble does not follow */
export function preTokenizerOf(part: Part | null): PreTokenizer | null {
  if (part === null) return null;
  const type = part.text('type');
  switch (type) {
    case 'Sequence':
      return sequence(part);
    case 'Split':
      return splitting(part);
    case 'ByteLevel':
      return byteLevel(part);
    case 'Digits':
      return cut(byCharacter(memberOf('RustNumeric')), part.flag('individual_digits') ? 'Isolated' : 'Contiguous');
    case 'Punctuation':
      return cut(byCharacter(memberOf('RustPunctuation')), part.oneOf('behavior', BEHAVIORS, 'Isolated'));
    case 'Metaspace':
      return metaspace(part);
    case 'WhitespaceSplit':
      return cut(byPattern(new RegExp(WHITE_SPACE, 'gv')), 'Removed');
    case 'Whitespace': {
      const word = `[${classOf('RustWord')}]`;
      return cut(inverted(byPattern(new RegExp(`${word}+|[^${word}${WHITE_SPACE}]+`, 'gv'))), 'Removed');
    }
    case 'CharDelimiterSplit': {
      const delimiter = oneCharacter(part, 'delimiter');
      return cut(
        byCharacter((char) => char === delimiter),
        'Removed',
      );
    }
    case 'FixedLength':
      return fixedLength(part.count('length', 5, 1));
    default:
      throw part.unsupported('type', `is ${show(type)}, a pre-tokenizer`);
  }
}

function sequence(part: Part): PreTokenizer {
  const parts = part.objects('pretokenizers');
  for (const [i, step] of parts.entries()) {
    if (i > 0 && step.json.type === 'Metaspace' && step.json.prepend_scheme === 'first')
      throw step.unsupported('prepend_scheme', 'is "first" behind another pre-tokenizer');
  }
  const steps = parts.map(preTokenizerOf);
  return (pieces) => steps.reduce<Piece[]>((so_far, step) => (step === null ? so_far : step(so_far)), [...pieces]);
}

function cut(finder: Finder, behavior: Parameters<typeof splitText>[2]): PreTokenizer {
  return (pieces) =>
    pieces.flatMap(({ text, first }) =>
      splitText(text, finder, behavior).map((piece, i) => ({ text: piece, first: first && i === 0 })),
    );
}

function splitting(part: Part): PreTokenizer {
  const finder = byPattern(patternOf(part));
  const behavior = part.oneOf('behavior', BEHAVIORS);
  return cut(part.flag('invert') ? inverted(finder) : finder, behavior);
}

function byteLevel(part: Part): PreTokenizer {
  const prefixed = part.flag('add_prefix_space');
  part.flag('trim_offsets');
  const split = part.flag('use_regex', true) ? cut(byPattern(translate(GPT2_PATTERN)), 'Isolated') : null;
  return (pieces) => {
    const spaced = prefixed
      ? pieces.map(({ text, first }) => ({ text: text.startsWith(' ') ? text : ` ${text}`, first }))
      : pieces;
    return (split === null ? spaced : split(spaced)).map(({ text, first }) => ({ text: toByteChars(text), first }));
  };
}

function metaspace(part: Part): PreTokenizer {
  const replacement = oneCharacter(part, 'replacement');
  const scheme = part.oneOf('prepend_scheme', ['always', 'first', 'never'], 'always');
  if (part.json.add_prefix_space === false && scheme !== 'never')
    throw part.error('add_prefix_space', `is false, and prepend_scheme is "${scheme}". Remove add_prefix_space.`);
  const split = part.flag('split', true)
    ? cut(
        byCharacter((char) => char === replacement),
        'MergedWithNext',
      )
    : null;
  return (pieces) => {
    const marked = pieces.map(({ text, first }) => {
      const replaced = text.replaceAll(' ', replacement);
      const prepends = scheme === 'always' || (scheme === 'first' && first);
      return { text: prepends && !replaced.startsWith(replacement) ? replacement + replaced : replaced, first };
    });
    return split === null ? marked : split(marked);
  };
}

function fixedLength(length: number): PreTokenizer {
  return (pieces) =>
    pieces.flatMap(({ text, first }) => {
      const chars = Array.from(text);
      return Array.from({ length: Math.ceil(chars.length / length) }, (_, i) => ({
        text: chars.slice(i * length, (i + 1) * length).join(''),
        first: first && i === 0,
      }));
    });
}

function oneCharacter(part: Part, key: string): string {
  const text = part.text(key);
  if (Array.from(text).length !== 1) throw part.error(key, `is ${show(text)}, needs one character.`);
  return text;
}
