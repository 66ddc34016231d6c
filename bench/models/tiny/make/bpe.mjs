/** Trains a byte-level BPE vocabulary: GPT-2's byte alphabet and word pattern, merges by count. Deterministic. */

/** How byte-level tokenizers cut text before merging: contractions, words, numbers and signs, each with the space before it. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Printable Latin-1 characters stand for themselves; the other bytes take the code points from 256 on, in byte order. */
export function byteAlphabet() {
  const printable = (/** @type {number} */ byte) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/**
 * Merges the most frequent neighbours again and again; of equally frequent ones the pair with the smaller ids. Ids start
 * with the 256 bytes, in the order of their characters, and grow with each merge.
 * @param {string} text
 * @param {number} mergeCount
 * @returns {{ tokens: string[], merges: [string, string][] }}
 */
export function trainBpe(text, mergeCount) {
  const alphabet = byteAlphabet();
  const tokens = [...alphabet].sort();
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const words = countWords(text, (byte) => Number(idOf.get(alphabet[byte])));
  /** @type {Map<number, number>} */
  const pairs = new Map();
  for (const word of words) addPairs(pairs, word, 1);
  /** @type {[string, string][]} */
  const merges = [];
  while (merges.length < mergeCount) {
    const best = mostFrequent(pairs);
    if (best === undefined) throw new RangeError(`the text has only ${merges.length} merges, needs ${mergeCount}`);
    const [left, right] = unpack(best);
    merges.push([tokens[left], tokens[right]]);
    const merged = tokens.push(tokens[left] + tokens[right]) - 1;
    for (const word of words) {
      if (!contains(word.ids, left, right)) continue;
      addPairs(pairs, word, -1);
      word.ids = replacePair(word.ids, left, right, merged);
      addPairs(pairs, word, 1);
    }
  }
  return { tokens, merges };
}

/** @typedef {{ count: number, ids: number[] }} Word */

/** @param {string} text @param {(byte: number) => number} idOfByte @returns {Word[]} */
function countWords(text, idOfByte) {
  const counts = new Map();
  for (const [word] of text.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({ count, ids: Array.from(encoder.encode(word), idOfByte) }));
}

/** A pair as one number, so that a Map can hold it; the order of these numbers is the order of the pairs. */
const ID_LIMIT = 2 ** 16;
const pack = (/** @type {number} */ left, /** @type {number} */ right) => left * ID_LIMIT + right;
const unpack = (/** @type {number} */ key) => [Math.floor(key / ID_LIMIT), key % ID_LIMIT];

/** @param {Map<number, number>} pairs @param {Word} word @param {1 | -1} sign */
function addPairs(pairs, { ids, count }, sign) {
  for (let i = 1; i < ids.length; i++) {
    const key = pack(ids[i - 1], ids[i]);
    pairs.set(key, (pairs.get(key) ?? 0) + sign * count);
  }
}

/** @param {Map<number, number>} pairs */
function mostFrequent(pairs) {
  /** @type {number | undefined} */
  let best;
  let most = 0;
  for (const [key, count] of pairs) {
    if (count > most || (count === most && count > 0 && key < (best ?? 0))) {
      best = key;
      most = count;
    }
  }
  return best;
}

/** @param {readonly number[]} ids @param {number} left @param {number} right */
function contains(ids, left, right) {
  for (let i = 1; i < ids.length; i++) if (ids[i - 1] === left && ids[i] === right) return true;
  return false;
}

/** @param {readonly number[]} ids @param {number} left @param {number} right @param {number} merged */
function replacePair(ids, left, right, merged) {
  const out = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = ids[i] === left && ids[i + 1] === right;
    out.push(isPair ? merged : ids[i]);
    if (isPair) i++;
  }
  return out;
}
