/** Philox4x32-10 (Salmon and others, SC 2011) and the dropout mask made from it: the twin of shaders/lib/philox.wgsl. */

const MULTIPLIER = [0xd2511f53, 0xcd9e8d57] as const;
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

export type Counter = readonly [number, number, number, number];
export type Key = readonly [number, number];

/** Four random 32-bit words that are a pure function of counter and key. */
export function philox4x32(counter: Counter, key: Key): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [hi0, lo0] = multiply(MULTIPLIER[0], c0);
    const [hi1, lo1] = multiply(MULTIPLIER[1], c2);
    [c0, c1, c2, c3] = [(hi1 ^ c1 ^ k0) >>> 0, lo1, (hi0 ^ c3 ^ k1) >>> 0, lo0];
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** High and low word of the 64-bit product. 16-bit halves of b keep every term below 2^53. */
function multiply(a: number, b: number): [hi: number, lo: number] {
  const low = a * (b & 0xffff);
  const high = a * (b >>> 16) + Math.floor(low / 0x10000);
  return [Math.floor(high / 0x10000), ((high & 0xffff) * 0x10000 + (low & 0xffff)) >>> 0];
}

/** All that a mask depends on. `op` numbers the dropout sites of a model, `micro` the micro-batches of a step. */
export type DropoutSite = { seed: number; step: number; micro: number; op: number };

/** An element is dropped when its word is below this: p in units of 2^-32. */
export const dropThreshold = (p: number): number => Math.floor(p * 2 ** 32);

/** n flags, 1 = kept. Element i takes word i mod 4 of counter (i div 4, op, micro, step) under key (seed, 0). */
export function dropoutMask({ seed, step, micro, op }: DropoutSite, p: number, n: number): Uint8Array {
  const threshold = dropThreshold(p);
  const mask = new Uint8Array(n);
  for (let i = 0; i < n; i += 4) {
    const words = philox4x32([i / 4, op, micro, step], [seed, 0]);
    for (let j = 0; j < 4 && i + j < n; j++) mask[i + j] = words[j]! >= threshold ? 1 : 0;
  }
  return mask;
}
