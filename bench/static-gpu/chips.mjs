/** The chips that the budget knows: chips.json is the one place of published constants and of what is assumed. */
import { readFileSync } from 'node:fs';
import { ConfigError } from './from-nibble.mjs';

/** @import { Assumed, Chip } from './types.d.ts' */

/** @type {{ assumed: Record<keyof Assumed, { value: number, why: string }>, chips: Record<string, Chip> }} */
const FILE = JSON.parse(readFileSync(new URL('chips.json', import.meta.url), 'utf8'));

export const CHIP_NAMES = Object.keys(FILE.chips);

/** @type {Assumed} */
export const ASSUMED = /** @type {any} */ (
  Object.fromEntries(Object.entries(FILE.assumed).map(([name, { value }]) => [name, value]))
);

/** @param {string} name @returns {Chip} @throws ConfigError for a chip without constants */
export function chipNamed(name) {
  const chip = FILE.chips[name];
  if (chip !== undefined) return chip;
  throw new ConfigError([
    {
      path: '--chips',
      message: `${name} is not known: give some of ${CHIP_NAMES.join(', ')}, or add its constants to bench/static-gpu/chips.json`,
    },
  ]);
}
