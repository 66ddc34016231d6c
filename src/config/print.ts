/** Prints a resolved configuration as YAML that says where each value came from and can be run again. */
import { stringify } from 'yaml';
import type { ResolvedConfig } from './load.ts';
import { DEPARTURES, SECTIONS, type SettingKey } from './settings.ts';

// Values longer than this push the origins of all others out of sight.
const ORIGIN_COLUMN = 48;

/** Formats YAML, one key a line under the headings of the sections; reading it back gives the same values. */
export function printConfig({ values: resolved, origins }: ResolvedConfig): string {
  // as it was asked for: bf16_as, which is printed too, turns it into the same dtype again
  const { requested_compute_dtype: compute_dtype, float16_if_possible: _, ...rest } = resolved;
  const values = { ...rest, compute_dtype, bnb_4bit_compute_dtype: compute_dtype };
  const blocks = Object.entries(SECTIONS).map(([heading, keys]) => {
    const lines = (Object.keys(keys) as SettingKey[]).map((key) => {
      const { source, where, note } = origins[key];
      const theirs = source === 'default' ? DEPARTURES[key] : undefined;
      const remarks = [where, note, theirs && `Hugging Face: ${theirs.huggingFace}`].filter(Boolean).join(', ');
      return `${`${key}: ${inline(values[key])}`.padEnd(ORIGIN_COLUMN)} # ${remarks}`;
    });
    return [`# ${heading}`, ...lines].join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

/** Formats a value as YAML on one line. JSON is YAML, and its escapes keep a text with line breaks or "#" in one piece. */
function inline(value: unknown): string {
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  // YAML 1.1, which Python reads, takes 1e-8 for a text; 1.0e-8 is a number in both.
  if (typeof value === 'number') return String(value).replace(/^(-?\d+)e/, '$1.0e');
  return stringify(value, { lineWidth: 0, defaultStringType: 'PLAIN', blockQuote: false }).trimEnd();
}
