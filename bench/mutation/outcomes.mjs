/** What became of the mutations that were drawn. */
import { readFileSync } from 'node:fs';

/**
 * @typedef {{
 *   readonly name: string, readonly file: string, readonly line: number, readonly before: string, readonly after: string,
 *   readonly state: 'killed' | 'timeout' | 'survived' | 'not compiled', readonly seconds: number,
 *   readonly related: number, readonly took: Readonly<Record<string, number>>,
 *   readonly by?: string, readonly test?: string, readonly message?: string,
 * }} Row
 *   related: how many test files reach the file; took: CPU seconds of those that were chosen, 0 for one that has never passed
 */

/**
 * Mutations that change nothing a run or its reader can see, each with the reason: judged by reading.
 * @type {Readonly<Record<string, string>>}
 */
const EQUIVALENT = JSON.parse(readFileSync(new URL('./equivalent.json', import.meta.url), 'utf8'));

/** @param {string} name */
export const isEquivalent = (name) => Object.hasOwn(EQUIVALENT, name);

/** @param {readonly Row[]} rows the last of a name counts */
export function summary(rows) {
  const drawn = [...new Map(rows.map((row) => [row.name, row])).values()];
  const of = (/** @type {Row['state']} */ state) => drawn.filter((row) => row.state === state);
  const equal = of('survived').filter(({ name }) => isEquivalent(name));
  const caught = of('killed').length + of('timeout').length;
  const counted = drawn.length - of('not compiled').length - equal.length;
  const lines = [
    `${drawn.length} tried: ${of('killed').length} killed, ${of('timeout').length} ended by the clock, ` +
      `${of('survived').length} survived (${equal.length} of them change nothing), ${of('not compiled').length} not compiled`,
    `${caught} of ${counted}: ${((100 * caught) / counted).toFixed(1)} %`,
    ...of('survived')
      .filter(({ name }) => !isEquivalent(name))
      .map(({ file, line, before, after }) => `survived ${file}:${line}\n  ${before}\n  ${after}`),
  ];
  return lines.join('\n');
}
