/** Filters of lm-eval: what is read out of the texts that a model wrote. Each item has `repeats` of them. */
import { pythonRegex } from '../formats/python-regex.ts';
import type { FilterField } from './task-shape.ts';

/** lm-eval's default of the filter regex: what follows #### in an answer of GSM8K. */
const DEFAULT_PATTERN = '#### (\\-?[0-9\\.\\,]+)';
const FALLBACK = '[invalid]';

type Texts = readonly (string | null)[];

/** Applies a pipeline to the answers of one item. It ends with take_first. @returns null where a map has no value for it */
export function applyFilters(filters: readonly FilterField[], answers: readonly string[]): string | null {
  const texts = filters.reduce<Texts>((given, filter) => apply(filter, given), answers);
  return texts[0] ?? null;
}

function apply(filter: FilterField, texts: Texts): Texts {
  switch (filter.function) {
    case 'regex':
      return texts.map((text) => found(filter, text ?? ''));
    case 'remove_whitespace':
      return texts.map((text) => text?.trim() ?? null);
    case 'lowercase':
      return texts.map((text) => text?.toLowerCase() ?? null);
    case 'uppercase':
      return texts.map((text) => text?.toUpperCase() ?? null);
    case 'map':
      return texts.map((text) => mapped(filter, text));
    case 'take_first_k':
      return texts.slice(0, filter.k);
    case 'majority_vote':
      return [mostCommon(texts)];
    default:
      return texts.slice(0, 1);
  }
}

function found(
  { regex_pattern = DEFAULT_PATTERN, group_select = 0, fallback = FALLBACK }: FilterField,
  text: string,
): string {
  const matches = [...text.matchAll(pythonRegex(regex_pattern, 'findall'))];
  if (matches.length === 0) return fallback;
  const match = matches.at(group_select);
  if (match === undefined) throw new Error(`group_select ${group_select} of ${matches.length} matches is not there`);
  // re.findall gives the groups where there are any, and the whole match where not
  const [whole, ...groups] = match;
  if (groups.length === 0) return whole.trim();
  if (groups.length === 1) return (groups[0] ?? '').trim();
  return (groups.find((group) => group !== undefined && group !== '') ?? fallback).trim();
}

function mapped({ mapping_dict = {}, default_value = null }: FilterField, text: string | null): string | null {
  return text !== null && Object.hasOwn(mapping_dict, text) ? mapping_dict[text]! : default_value;
}

/** The first of those that are there most often. */
function mostCommon(texts: Texts): string | null {
  const counts = new Map<string | null, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}
