/** What gpu-host.sh left in a folder: the host, figures beside what is promised, and facts. */
import { factsOf } from './facts.mjs';
import { promisedFigures } from './figures.mjs';
import { filesOf, json } from './files.mjs';
import { readRuns } from './runs.mjs';

/**
 * @typedef {object} Host what host.mjs prints; further entries are versions of packages
 * @property {string} at
 * @property {string} gpu
 * @property {string} driver
 * @property {boolean} software
 * @property {boolean} rehearsed
 */

/**
 * @param {string} folder of one host: calls of the script on another GPU or driver belong into another folder
 * @returns `{ hosts, rehearsed, figures, facts }`
 * @throws Error where it holds results of two cards or drivers
 */
export function readResults(folder) {
  const hosts = filesOf(folder, /^host-.*\.json$/).map((file) => hostOf(folder, file));
  const cards = [...new Set(hosts.map(({ gpu, driver }) => `${gpu}, driver ${driver}`))];
  if (cards.length > 1)
    throw new Error(`${folder} holds results of ${cards.join(' and of ')}: a ratio needs both sides on one card`);
  const runs = readRuns(folder);
  const rehearsed = hosts.some((host) => host.rehearsed || host.software);
  return { hosts, rehearsed, figures: promisedFigures(folder, runs), facts: factsOf(folder, runs) };
}

/** @param {string} folder @param {string} file @returns {Host & Readonly<Record<string, string | number | boolean | null>>} */
function hostOf(folder, file) {
  const host = /** @type {(Host & Record<string, string | number | boolean | null>) | null} */ (json(folder, file));
  if (host === null) throw new Error(`${folder}/${file} says nothing`);
  return host;
}
