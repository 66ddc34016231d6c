/** Where in a text each of its tokens stands, as the offsets of Rust's `tokenizers` say, in UTF-16 units. */
import { isObject, type JsonObject } from '../json.ts';
import type { AddedTokens, NormalizedPiece } from './added-tokens.ts';
import { toByteChars } from './bytes.ts';
import type { Model } from './model.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';

export type Encoding = { readonly ids: number[]; readonly starts: number[]; readonly ends: number[] };

type Offsets = { readonly starts: number[]; readonly ends: number[] };

export type OffsetRules = {
  /** Pieces reach the model as characters of their bytes. */
  readonly byteLevel: boolean;
  /** Spaces at a token's ends are left out of its offsets; null where they count. */
  readonly trims: { readonly keepsFirst: boolean } | null;
};

type Parts = {
  readonly added: AddedTokens;
  readonly preTokenizer: PreTokenizer | null;
  readonly model: Model;
  readonly tokens: ReadonlyMap<number, string>;
};

/** A character that the model reads, and the stretch of the normalized text it stands for. */
type Unit = { readonly char: string; readonly start: number; readonly end: number };

const SPACE_OF_BYTES = toByteChars(' ');
const META = '\u2581';

/** Reads what offsets depend on beside the text. */
export function offsetRulesOf(json: JsonObject): OffsetRules {
  const post = stepsOf(json.post_processor, 'processors').find(
    ({ type, trim_offsets }) => (type === 'ByteLevel' || type === 'RobertaProcessing') && trim_offsets !== false,
  );
  return {
    byteLevel: stepsOf(json.pre_tokenizer, 'pretokenizers').some(({ type }) => type === 'ByteLevel'),
    trims: post === undefined ? null : { keepsFirst: post.add_prefix_space !== false },
  };
}

function stepsOf(value: unknown, key: string): JsonObject[] {
  if (!isObject(value)) return [];
  const steps = value[key];
  return value.type === 'Sequence' && Array.isArray(steps)
    ? steps.filter(isObject).flatMap((step) => stepsOf(step, key))
    : [value];
}

/** Offsets of the tokens that `text` becomes without special tokens of the post-processor. */
export function offsetsOf(text: string, parts: Parts, rules: OffsetRules): Offsets {
  const found: Offsets = { starts: [], ends: [] };
  const add = (token: string, start: number, end: number): void => {
    const [from, to] = rules.trims === null ? [start, end] : trimmed(token, start, end, found.starts.length, rules);
    found.starts.push(from);
    found.ends.push(to);
  };
  for (const piece of parts.added.locate(text)) {
    if ('id' in piece) add(parts.added.get(piece.id)!.content, piece.start, piece.end);
    else addPiece(piece, parts, rules, add);
  }
  return found;
}

type Add = (token: string, start: number, end: number) => void;

function addPiece(piece: NormalizedPiece, { added, preTokenizer, model, tokens }: Parts, rules: OffsetRules, add: Add) {
  const raw = alignment(piece, (text) => added.normalize(text));
  for (const part of piece.parts) {
    if ('id' in part) {
      add(added.get(part.id)!.content, raw.starts[part.start]!, raw.ends[part.end - 1]!);
      continue;
    }
    const source = unitsOf(part.text, rules.byteLevel);
    let at = 0;
    for (const { text } of preTokenizer?.([part]) ?? [part]) {
      const units: Unit[] = [];
      for (const char of text) {
        const [unit, next] = sourceOf(char, source, at);
        units.push(unit);
        at = next;
      }
      for (const { token, start, end } of placed(model.encode(text), units, tokens))
        add(token, raw.starts[part.start + start]!, raw.ends[part.start + end - 1]!);
    }
  }
}

/** The characters of a text with their places; byte by byte where the model reads bytes. */
function unitsOf(text: string, byteLevel: boolean): Unit[] {
  const units: Unit[] = [];
  let at = 0;
  for (const char of text) {
    const end = at + char.length;
    for (const mapped of byteLevel ? toByteChars(char) : char) units.push({ char: mapped, start: at, end });
    at = end;
  }
  return units;
}

/** Finds what a character that the pre-tokenizer gave came from: one that it put in front shares the place of the next. */
function sourceOf(char: string, source: readonly Unit[], at: number): [unit: Unit, next: number] {
  const isOf = (unit: Unit): boolean => unit.char === char || (unit.char === ' ' && char === META);
  const here = source[at] ?? source.at(-1)!;
  if (at < source.length && isOf(here)) return [{ ...here, char }, at + 1];
  if (char === META || char === SPACE_OF_BYTES) return [{ ...here, char }, at];
  let next = at;
  while (next < source.length && !isOf(source[next]!)) next++;
  return next < source.length ? [{ ...source[next]!, char }, next + 1] : [{ ...here, char }, at];
}

type Placed = { readonly token: string; readonly start: number; readonly end: number };

const BYTE_TOKEN = /^<0x[0-9A-F]{2}>$/;

/** Lays tokens over the characters they are made of. A byte of a character that has no token of its own has its whole place. */
function placed(ids: readonly number[], units: readonly Unit[], tokens: ReadonlyMap<number, string>): Placed[] {
  const found: Placed[] = [];
  let at = 0;
  let bytesLeft = 0;
  for (const [i, id] of ids.entries()) {
    const token = tokens.get(id) ?? '';
    const size = sizeAt(token, units, at);
    const here = Math.min(at, units.length - 1);
    if (size === null && BYTE_TOKEN.test(token)) {
      if (bytesLeft === 0) bytesLeft = new TextEncoder().encode(units[here]!.char).length;
      found.push({ token, start: units[here]!.start, end: units[here]!.end });
      if (--bytesLeft === 0) at++;
      continue;
    }
    const taken = Math.max(1, size ?? unknownSize(ids.slice(i + 1), units, at, tokens));
    const last = Math.min(here + taken, units.length) - 1;
    found.push({ token, start: units[here]!.start, end: units[last]!.end });
    at += taken;
  }
  return found;
}

/** Characters of a token that stands at `at`, without the mark of a continued word; null where it does not stand there. */
function sizeAt(token: string, units: readonly Unit[], at: number): number | null {
  for (const text of [token, token.replace(/^##/, ''), token.replace(/<\/w>$/, '')]) {
    const chars = Array.from(text);
    if (chars.length > 0 && chars.every((char, i) => units[at + i]?.char === char)) return chars.length;
  }
  return null;
}

/** An unknown token reaches to where the next known one stands. */
function unknownSize(
  rest: readonly number[],
  units: readonly Unit[],
  at: number,
  tokens: ReadonlyMap<number, string>,
): number {
  const [next] = rest;
  if (next === undefined) return units.length - at;
  const token = tokens.get(next) ?? '';
  let end = at + 1;
  while (end < units.length && sizeAt(token, units, end) === null) end++;
  return end === units.length ? 1 : end - at;
}

/** The place in the raw text of every unit of a normalized piece. */
function alignment({ raw, start, normalized }: NormalizedPiece, normalize: (text: string) => string): Offsets {
  if (normalized === raw) {
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = 0; i < raw.length; i++) {
      starts.push(start + i);
      ends.push(start + i + 1);
    }
    return { starts, ends };
  }
  return clusterAlignment(raw, start, normalized, normalize);
}

/**
 * A character with the marks on it, or the letters of a Korean syllable: no normalizer looks beyond, but for what it puts
 * in front of a text.
 */
const CLUSTER = /\P{M}[\p{M}\u1160-\u11ff]*|\p{M}+/gsu;

/** Within a cluster the characters of both forms count one by one, the last ones of the longer form together. */
function clusterAlignment(
  raw: string,
  start: number,
  normalized: string,
  normalize: (text: string) => string,
): Offsets {
  const found: Offsets = { starts: [], ends: [] };
  let at = start;
  for (const [i, cluster] of (raw.match(CLUSTER) ?? []).entries()) {
    const chars = Array.from(cluster);
    const behind = Array.from(withoutPrefix(cluster, normalize));
    const made = i === 0 ? Array.from(normalize(cluster)) : behind;
    const prefix = Math.max(0, made.length - behind.length);
    const places: number[] = [];
    for (const char of chars) {
      places.push(at);
      at += char.length;
    }
    for (const [k, char] of made.entries()) {
      const place = Math.min(Math.max(0, k - prefix), chars.length - 1);
      for (let unit = 0; unit < char.length; unit++) {
        found.starts.push(places[place]!);
        found.ends.push(places[place]! + chars[place]!.length);
      }
    }
  }
  while (found.starts.length < normalized.length) {
    found.starts.push(found.starts.at(-1) ?? start);
    found.ends.push(at);
  }
  return found;
}

/** What a cluster becomes behind another: normalizers may put a mark in front of a text alone. */
function withoutPrefix(cluster: string, normalize: (text: string) => string): string {
  return normalize(`a${cluster}`).slice(normalize('a').length);
}

/** Rust's process_offsets, which leaves spaces out of a token's offsets. */
function trimmed(token: string, start: number, end: number, index: number, { trims }: OffsetRules): [number, number] {
  const isSpace = (char: string): boolean => char === SPACE_OF_BYTES || /\s/.test(char);
  const chars = Array.from(token);
  const firstText = chars.findIndex((char) => !isSpace(char));
  let leading = firstText === -1 ? chars.length : firstText;
  const trailing = chars.length - 1 - chars.findLastIndex((char) => !isSpace(char));
  if (leading > 0 && trims?.keepsFirst === true && (index === 0 || start === 0)) leading--;
  const from = Math.min(start + leading, end);
  return [from, trailing > 0 && end >= trailing ? Math.max(end - trailing, from) : end];
}
