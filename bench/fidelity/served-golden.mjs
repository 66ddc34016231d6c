/** test/golden/served: what lm-eval sends to `nibble serve` for the first items of each task, and what it takes from the answers. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../shared/record.mjs';

/**
 * @typedef {object} Exchange
 * @property {Readonly<Record<string, unknown>> & { readonly prompt: readonly (readonly number[])[] }} request
 * @property {readonly number[]} [contexts] tokens of each prompt that are not scored; none where texts are generated
 * @property {readonly unknown[]} taken log-likelihood and whether it is the greedy one, or a text, for each prompt
 */

const FOLDER = path.join(ROOT, 'test/golden/served');
/** Tokens of a prompt, at most: longer ones cost the suite too much time. */
const SHORT = 160;

/**
 * @param {{ versions: Record<string, string> } & Record<'base' | 'adapter', { exchanges: readonly Exchange[] }>} found
 * @param {number} context
 */
export function writeServedGolden({ versions, base, adapter }, context) {
  mkdirSync(FOLDER, { recursive: true });
  const write = (/** @type {string} */ name, /** @type {unknown} */ value) =>
    writeFileSync(path.join(FOLDER, name), `${JSON.stringify(value)}\n`);
  write('exchanges.json', { context, base: kept(base.exchanges), adapter: kept(adapter.exchanges) });
  write('versions.json', versions);
}

/** The first and the last request of each kind: the longest and the shortest. @param {readonly Exchange[]} exchanges */
function kept(exchanges) {
  const short = exchanges.filter(({ request }) => request.prompt.every(({ length }) => length <= SHORT));
  return ['choices', 'windows', 'texts'].flatMap((kind) => {
    const own = short.filter((exchange) => kindOf(exchange) === kind);
    return [own[0], own.at(-1)];
  });
}

/** A window of a text is scored whole, but for its first token. @param {Exchange} exchange */
function kindOf({ contexts }) {
  if (contexts === undefined) return 'texts';
  return contexts.every((context) => context === 1) ? 'windows' : 'choices';
}
