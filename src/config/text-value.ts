/** Reads the value that a flag or an environment variable spells as text. */
import { parse } from 'yaml';
import type { z } from 'zod';

/**
 * Reads `text` as the first of these that fits `type`: a YAML value that is not text (1e-5, true, null, [a, b], {a: 1}),
 * words with commas between them as a list, name=value pairs as a mapping, the text itself, a list of one, a list of paths.
 * What fits nothing is returned as YAML reads it, so that the message about it shows what was understood.
 */
export function valueOfText(text: string, type: z.ZodType): unknown {
  const yaml = yamlValue(text);
  const words = text.split(',').map((word) => word.trim());
  const candidates: unknown[] = [
    // A text goes in as typed: YAML would cut "./out #2" at the comment.
    ...(typeof yaml === 'string' ? [] : [yaml]),
    // Only plain names split at commas, because a regular expression may hold one.
    ...(words.length > 1 && words.every((word) => /^[\w.]+$/.test(word)) ? [words] : []),
    ...(words.every((word) => PAIR.test(word)) ? [mappingOf(words)] : []),
    text,
    [text],
    words.map((path) => ({ path })),
  ];
  const fitting = candidates.find((candidate) => type.safeParse(candidate).success);
  return fitting === undefined ? (typeof yaml === 'string' ? text : yaml) : fitting;
}

const PAIR = /^(\w+)=([^=]+)$/;

function mappingOf(pairs: readonly string[]): unknown {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name = '', value = ''] = PAIR.exec(pair) ?? [];
      return [name, yamlValue(value)];
    }),
  );
}

function yamlValue(text: string): unknown {
  try {
    return parse(text, { logLevel: 'silent' });
  } catch {
    return text;
  }
}
