/** MT19937 (Matsumoto and Nishimura 1998), which torch and Python draw from. */

const N = 624;
const M = 397;
const UPPER = 0x80000000;
const LOWER = 0x7fffffff;
/** The seed that init_by_array starts from. */
const ARRAY_SEED = 19650218;

export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** Seeds by init_genrand. @param seed of which the low 32 bits count */
  constructor(seed: number) {
    this.#state[0] = seed % 2 ** 32;
    for (let i = 1; i < N; i++) {
      const before = this.#state[i - 1]!;
      this.#state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  /** Seeds by init_by_array. @param key at least one word of 32 bits */
  static byArray(key: readonly number[]): MersenneTwister {
    const made = new MersenneTwister(ARRAY_SEED);
    const s = made.#state;
    let i = 1;
    const step = (factor: number, add: number): void => {
      const before = s[i - 1]!;
      s[i] = (s[i]! ^ Math.imul(before ^ (before >>> 30), factor)) + add;
      if (++i < N) return;
      s[0] = s[N - 1]!;
      i = 1;
    };
    for (let k = 0; k < Math.max(N, key.length); k++) step(1664525, key[k % key.length]! + (k % key.length));
    for (let k = 0; k < N - 1; k++) step(1566083941, -i);
    s[0] = UPPER;
    return made;
  }

  /** Draws a whole number in [0, 2^32). */
  u32(): number {
    if (this.#next === N) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const s = this.#state;
    for (let i = 0; i < N; i++) {
      const y = (s[i]! & UPPER) | (s[(i + 1) % N]! & LOWER);
      s[i] = s[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
