/** Mutations: where they can be, which are drawn, and by what name each is known. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { typescriptSites } from './typescript.mjs';
import { wgslSites } from './wgsl.mjs';

/**
 * @typedef {{ readonly file: string, readonly start: number, readonly end: number, readonly to: string }} Site
 *   `to` takes the place of the characters from start to end
 * @typedef {Site & { readonly line: number, readonly was: string, readonly before: string, readonly after: string }} Mutation
 *   before and after are the whole lines, without the spaces at their ends
 */

/**
 * @param {string} root
 * @param {readonly string[]} files
 * @returns {Mutation[]} every mutation of these files
 */
export function allMutations(root, files) {
  const shaders = files.filter((file) => file.endsWith('.wgsl'));
  const sources = files.filter((file) => file.endsWith('.ts'));
  const sites = [
    ...typescriptSites(root, sources),
    ...shaders.flatMap((file) => wgslSites(file, readFileSync(path.join(root, file), 'utf8'))),
  ];
  /** @type {Map<string, string>} */
  const texts = new Map(files.map((file) => [file, readFileSync(path.join(root, file), 'utf8')]));
  return sites.map((site) => described(site, texts.get(site.file) ?? ''));
}

/** @param {Site} site @param {string} text @returns {Mutation} */
function described(site, text) {
  const from = text.lastIndexOf('\n', site.start - 1) + 1;
  const until = text.indexOf('\n', site.end);
  const stop = until < 0 ? text.length : until;
  const was = text.slice(site.start, site.end);
  return {
    ...site,
    line: text.slice(0, site.start).split('\n').length,
    was,
    before: text.slice(from, stop).trim(),
    after: (text.slice(from, site.start) + site.to + text.slice(site.end, stop)).trim(),
  };
}

/** The same in the next version of a file, however the lines above have moved. @param {Mutation} mutation */
export const nameOf = ({ file, before, after }) => `${file}: ${before} => ${after}`;

/** @param {string} text @param {Site} site */
export const applied = (text, { start, end, to }) => text.slice(0, start) + to + text.slice(end);

/**
 * @template T
 * @param {readonly T[]} all
 * @param {number} count
 * @param {number} seed
 * @returns {T[]} that many of them, none twice; a larger count begins with the same ones
 */
export function drawn(all, count, seed) {
  const random = xoroshiro128plus(seed);
  const rest = [...all];
  /** @type {T[]} */
  const chosen = [];
  while (chosen.length < count && rest.length > 0) {
    const at = uniformInt(random, 0, rest.length - 1);
    chosen.push(/** @type {T} */ (rest[at]));
    rest[at] = /** @type {T} */ (rest[rest.length - 1]);
    rest.pop();
  }
  return chosen;
}
