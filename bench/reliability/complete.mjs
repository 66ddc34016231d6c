/** Whether every file under a final name is whole: read as what its name says it is. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/** Names that say that what they hold is not complete, or who is at work. */
const UNFINISHED =
  /(\.[0-9a-f]{12}\.tmp|\.partial-[0-9a-f]{8})(\/|$)|(^|\/)\.nibble-claim\.(json|lock|[0-9a-f]+\.tmp)$/;

/** @param {string} file */
export const isUnfinished = (file) => UNFINISHED.test(file);

/**
 * @param {string} folder
 * @returns {{ final: Map<string, string>, unfinished: string[] }} hashes of the files by path, and paths that say they are not whole
 */
export function filesBelow(folder) {
  /** @type {Map<string, string>} */
  const final = new Map();
  /** @type {string[]} */
  const unfinished = [];
  if (!existsSync(folder)) return { final, unfinished };
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const file = path.relative(folder, path.join(entry.parentPath, entry.name));
    if (isUnfinished(file)) unfinished.push(file);
    else
      final.set(
        file,
        createHash('sha256')
          .update(readFileSync(path.join(folder, file)))
          .digest('hex'),
      );
  }
  return { final, unfinished };
}

/** @param {string} folder @param {Iterable<string>} files @returns {string[]} what is wrong, a line a file */
export function halfWritten(folder, files) {
  return [...files].flatMap((file) => {
    try {
      checked(path.join(folder, file));
      return [];
    } catch (error) {
      return [`${file}: ${error instanceof Error ? error.message : error}`];
    }
  });
}

/** @type {Readonly<Record<string, (bytes: Buffer, file: string) => void>>} */
const CHECKS = {
  '.json': (bytes, file) => {
    const value = JSON.parse(bytes.toString());
    if (file.endsWith('.safetensors.index.json')) requireShards(value, path.dirname(file));
  },
  // one without a line yet is whole
  '.jsonl': (bytes) => {
    if (bytes.byteLength === 0) return;
    for (const line of lines(bytes)) JSON.parse(line);
  },
  '.yaml': (bytes) => {
    lines(bytes);
    parse(bytes.toString());
  },
  '.csv': (bytes) => {
    // lines of quoted fields have no fixed count of commas; the end is what a cut loses
    lines(bytes);
  },
  '.md': (bytes) => {
    lines(bytes);
  },
  '.txt': (bytes) => {
    lines(bytes);
  },
  '.html': (bytes) => requireEnd(bytes, '</html>'),
  '.svg': (bytes) => requireEnd(bytes, '</svg>'),
  '.safetensors': requireWhole,
};

/** @param {string} file */
function checked(file) {
  const check = CHECKS[path.extname(file)];
  if (check === undefined) throw new Error('nobody says how to tell whether it is whole: CHECKS in complete.mjs');
  const bytes = readFileSync(file);
  if (bytes.byteLength === 0 && path.extname(file) !== '.jsonl') throw new Error('is empty');
  check(bytes, file);
}

/** @param {Buffer} bytes */
function lines(bytes) {
  const text = bytes.toString();
  if (!text.endsWith('\n')) throw new Error('ends in the middle of a line');
  return text.slice(0, -1).split('\n');
}

/** @param {Buffer} bytes @param {string} end */
function requireEnd(bytes, end) {
  if (!bytes.toString().trimEnd().endsWith(end)) throw new Error(`does not end with ${end}`);
}

/** The header's last byte is the file's. @param {Buffer} bytes */
function requireWhole(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  /** @type {Record<string, { data_offsets?: [number, number] }>} */
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const end = Object.values(header).reduce((most, { data_offsets }) => Math.max(most, data_offsets?.[1] ?? 0), 0);
  const wanted = 8 + length + end;
  if (wanted !== bytes.byteLength) throw new Error(`has ${bytes.byteLength} bytes, its header says ${wanted}`);
}

/** @param {{ weight_map: Record<string, string> }} index @param {string} folder */
function requireShards({ weight_map }, folder) {
  for (const shard of new Set(Object.values(weight_map)))
    if (!existsSync(path.join(folder, shard))) throw new Error(`names ${shard}, which is not there`);
}
