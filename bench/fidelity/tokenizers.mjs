#!/usr/bin/env node
/**
 * Row 6 of docs/fidelity.md: ids of tokenizers as the families of models have them, against AutoTokenizer of transformers and Rust's
 * `tokenizers`, on every assigned code point, on what stands at borders, and on 1 MB of text in many languages; then each part of
 * tokenizer.json by itself. `node bench/fidelity/tokenizers.mjs --python PYTHON` over dist/.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { memoryReader } from '../../dist/formats/memory.js';
import { loadTokenizer, TOKENIZER_FILE } from '../../dist/formats/tokenizer.js';
import { options, python, record, withScratch } from './record.mjs';

const AGAINST = { auto: 'transformers', rust: 'tokenizers' };
const SETS = { points: 'every code point', borders: 'borders', mixed: '1 MB of text', few: 'borders and code points' };

/** For each text the ids that the Python side kept: their number, then they themselves. */
function* keptIds(file) {
  const bytes = readFileSync(file);
  const ids = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  for (let at = 0; at < ids.length; at += 1 + ids[at]) yield ids.subarray(at + 1, at + 1 + ids[at]);
}

function differing(got, want) {
  let count = Math.abs(got.length - want.length);
  for (let i = 0; i < Math.min(got.length, want.length); i++) if (got[i] !== want[i]) count++;
  return count;
}

/** The folder's tokenizer as transformers opens it, or tokenizer.json alone. */
function open(folder, alone) {
  const names = readdirSync(folder).filter((name) => (alone ? name === TOKENIZER_FILE : name.endsWith('.json')));
  return loadTokenizer(
    memoryReader(new Map(names.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]))),
  );
}

/** Differing ids of one folder, by reference and set of texts, and of its special tokens. */
async function compare(folder, { sets, against, specials }, texts) {
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

/** One figure for what many folders have in common, and a line on the screen for each that is off. */
function summed(what, all, unit = 'differing ids') {
  let reached = 0;
  for (const { name, found } of all) {
    const off = Object.entries(found).filter(([, count]) => count > 0);
    for (const [key, count] of off) console.error(`${name}, ${key}: ${count}`);
    reached += off.reduce((sum, [, count]) => sum + count, 0);
  }
  return { what, reached, bound: 0, unit };
}

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

const given = options();
await withScratch(given, async (folder) => {
  python(given, 'tokenizer_reference.py', folder);
  const made = JSON.parse(readFileSync(path.join(folder, 'index.json'), 'utf8'));
  const texts = Object.fromEntries(
    Object.keys(made.texts).map((name) => [name, JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8'))]),
  );
  const all = [];
  for (const [name, entry] of Object.entries(made.folders))
    all.push({ ...entry, found: await compare(path.join(folder, name), entry, texts) });
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
