#!/usr/bin/env node
/** Ids of the tokenizers of model families, and of each part of tokenizer.json, against transformers and Rust's `tokenizers`. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { memoryReader } from '#dist/formats/memory.js';
import { loadTokenizer, TOKENIZER_FILE } from '#dist/formats/tokenizer.js';
import { options, python, record, withScratch } from './peer.mjs';

/** @typedef {'auto' | 'rust'} Reference */
/** @typedef {'points' | 'borders' | 'mixed' | 'few'} TextSet */
/** @typedef {{ bos: number | null, eos: number | null, pad: number | null }} Specials */
/**
 * @typedef {object} Entry a folder as tokenizer_reference.py made it
 * @property {'family' | 'files' | 'part'} kind
 * @property {string} name
 * @property {TextSet[]} sets
 * @property {Reference[]} against
 * @property {Specials} specials
 */
/** @typedef {Entry & { found: Record<string, number> }} Compared */

const AGAINST = { auto: 'transformers', rust: 'tokenizers' };
const SETS = { points: 'every code point', borders: 'borders', mixed: '1 MB of text', few: 'borders and code points' };

/**
 * For each text the ids that the Python side kept: their number, then they themselves.
 * @param {string} file
 */
function* keptIds(file) {
  const bytes = readFileSync(file);
  const ids = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  for (let at = 0; at < ids.length; at += 1 + ids[at]) yield ids.subarray(at + 1, at + 1 + ids[at]);
}

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want */
function differing(got, want) {
  let count = Math.abs(got.length - want.length);
  for (let i = 0; i < Math.min(got.length, want.length); i++) if (got[i] !== want[i]) count++;
  return count;
}

/**
 * The folder's tokenizer as transformers opens it, or tokenizer.json alone.
 * @param {string} folder
 * @param {boolean} alone
 */
function open(folder, alone) {
  const names = readdirSync(folder).filter((name) => (alone ? name === TOKENIZER_FILE : name.endsWith('.json')));
  return loadTokenizer(
    memoryReader(new Map(names.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]))),
  );
}

/**
 * Differing ids of one folder, by reference and set of texts, and of its special tokens.
 * @param {string} folder
 * @param {Entry} entry
 * @param {Record<string, string[]>} texts
 */
async function compare(folder, { sets, against, specials }, texts) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const reference of against) {
    const tokenizer = await open(folder, reference === 'rust');
    for (const set of sets) {
      const want = [...keptIds(path.join(folder, `${reference}-${set}.bin`))];
      found[`${reference} ${set}`] = texts[set].reduce(
        (sum, text, i) => sum + differing(tokenizer.encode(text), want[i]),
        Math.abs(texts[set].length - want.length),
      );
    }
    if (reference !== 'auto') continue;
    const { bosId, eosId, padId } = tokenizer;
    found.specials = [bosId !== specials.bos, eosId !== specials.eos, padId !== specials.pad].filter(Boolean).length;
  }
  return found;
}

/**
 * One figure for what many folders have in common, and a line on the screen for each that is off.
 * @param {string} what
 * @param {readonly { name: string, found: Record<string, number> }[]} all
 */
function summed(what, all, unit = 'differing ids') {
  let reached = 0;
  for (const { name, found } of all) {
    const off = Object.entries(found).filter(([, count]) => count > 0);
    for (const [key, count] of off) console.error(`${name}, ${key}: ${count}`);
    reached += off.reduce((sum, [, count]) => sum + count, 0);
  }
  return { what, reached, bound: 0, unit };
}

/** @param {Compared} entry */
function familyFigures({ name, found, sets, against }) {
  return against.flatMap((reference) =>
    sets.map((set) => ({
      what: `${name}: ${SETS[set]}, against ${AGAINST[reference]}`,
      reached: found[`${reference} ${set}`],
      bound: 0,
      unit: 'differing ids',
    })),
  );
}

const given = options(
  'tokenizers',
  "Ids of tokenizers against AutoTokenizer and Rust's tokenizers, on every assigned code point, at borders, and on 1 MB of text.",
);
await withScratch(given, async (folder) => {
  python(given, 'tokenizer_reference.py', folder);
  const made = JSON.parse(readFileSync(path.join(folder, 'index.json'), 'utf8'));
  const texts = Object.fromEntries(
    Object.keys(made.texts).map((name) => [name, JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8'))]),
  );
  /** @type {Compared[]} */
  const all = [];
  /** @type {[string, Entry][]} */
  const folders = Object.entries(made.folders);
  for (const [name, entry] of folders)
    all.push({ ...entry, found: await compare(path.join(folder, name), entry, texts) });
  /** @param {Entry['kind']} kind */
  const of = (kind) => all.filter((entry) => entry.kind === kind);
  const figures = [
    ...of('family').flatMap(familyFigures),
    summed(
      `${of('files').length} ways to name tokens and classes outside tokenizer.json: against transformers`,
      of('files'),
    ),
    summed(`${of('part').length} parts and settings of tokenizer.json: against tokenizers`, of('part')),
    summed(
      'bos, eos and pad tokens of all these: against transformers',
      [...of('family'), ...of('files')].map(({ name, found }) => ({ name, found: { specials: found.specials } })),
    ),
  ];
  const title = `Token ids: ${made.points.toLocaleString('en')} code points, ${made.texts.borders.toLocaleString('en')} texts of borders, 1 MB of mixed languages`;
  record(given, 'tokenizers', { row: 6, title, versions: made.versions, figures });
});
