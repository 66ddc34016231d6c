/** Cutting text at matches of a pattern, and what becomes of the matches: SplitDelimiterBehavior of Rust's `tokenizers`. */

export const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
export type Behavior = (typeof BEHAVIORS)[number];

/** A stretch of text, in UTF-16 units, and whether it matched. */
type Stretch = { readonly start: number; end: number; readonly match: boolean };
/** Stretches that cover the whole text in order. */
export type Finder = (text: string) => Stretch[];

/** Finds by a regular expression with flag g. An empty match directly behind a match does not count, as in Rust's onig. */
export function byPattern(pattern: RegExp): Finder {
  return (text) => {
    const found: Stretch[] = [];
    let covered = 0;
    let last = -1;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const start = match.index;
      const end = start + match[0].length;
      if (end === start) pattern.lastIndex = end + ((text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1);
      if (end === start && end === last) continue;
      if (covered < start) found.push({ start: covered, end: start, match: false });
      found.push({ start, end, match: true });
      covered = end;
      last = end;
    }
    if (covered < text.length) found.push({ start: covered, end: text.length, match: false });
    return found;
  };
}

/** Finds single characters. */
export function byCharacter(matches: (char: string) => boolean): Finder {
  return (text) => {
    const found: Stretch[] = [];
    let covered = 0;
    let at = 0;
    for (const char of text) {
      const end = at + char.length;
      if (matches(char)) {
        if (covered < at) found.push({ start: covered, end: at, match: false });
        found.push({ start: at, end, match: true });
        covered = end;
      }
      at = end;
    }
    if (covered < text.length) found.push({ start: covered, end: text.length, match: false });
    return found;
  };
}

export function inverted(finder: Finder): Finder {
  return (text) => finder(text).map(({ start, end, match }) => ({ start, end, match: !match }));
}

/** The pieces of a text, none of them empty. */
export function splitText(text: string, finder: Finder, behavior: Behavior): string[] {
  const stretches = finder(text);
  const kept = behavior === 'Removed' ? stretches.filter(({ match }) => !match) : merged(stretches, behavior);
  return kept.filter(({ start, end }) => start < end).map(({ start, end }) => text.slice(start, end));
}

function merged(stretches: Stretch[], behavior: Exclude<Behavior, 'Removed'>): Stretch[] {
  if (behavior === 'Isolated') return stretches;
  if (behavior === 'MergedWithNext') return mergedWithNext(stretches);
  const joins = (match: boolean, before: boolean): boolean =>
    behavior === 'Contiguous' ? match === before : match && !before;
  const out: Stretch[] = [];
  let before = false;
  for (const stretch of stretches) {
    const last = out.at(-1);
    if (last !== undefined && joins(stretch.match, before)) last.end = stretch.end;
    else out.push({ ...stretch });
    before = stretch.match;
  }
  return out;
}

/** From the end: a match joins what follows, unless that is a match. */
function mergedWithNext(stretches: Stretch[]): Stretch[] {
  const out: Stretch[] = [];
  let before = false;
  for (const stretch of stretches.toReversed()) {
    const next = out.at(-1);
    if (next !== undefined && stretch.match && !before) out[out.length - 1] = { ...next, start: stretch.start };
    else out.push(stretch);
    before = stretch.match;
  }
  return out.reverse();
}
