/** Python's random.Random for whole seeds: the same draws, so that the same examples are drawn. */
import { MersenneTwister } from './mersenne-twister.ts';

/** Elements up to which sample() copies what it draws from; from CPython's random.py. */
const SMALL_SET = 21;

export class PythonRandom {
  readonly #twister: MersenneTwister;

  /** @param seed a whole number from 0 to 2^53 - 1 */
  constructor(seed: number) {
    const high = Math.floor(seed / 2 ** 32);
    this.#twister = MersenneTwister.byArray(high > 0 ? [seed % 2 ** 32, high] : [seed]);
  }

  /** random(): a double in [0, 1). */
  random(): number {
    const high = this.#twister.u32() >>> 5;
    return (high * 2 ** 26 + (this.#twister.u32() >>> 6)) / 2 ** 53;
  }

  /** sample(): `k` of the values without one twice, in the order drawn. `k` is at most their number. */
  sample<T>(values: readonly T[], k: number): T[] {
    const n = values.length;
    const most = SMALL_SET + (k > 5 ? 4 ** Math.ceil(Math.log(k * 3) / Math.log(4)) : 0);
    if (n > most) return this.#distinct(n, k).map((at) => values[at]!);
    const pool = [...values];
    return Array.from({ length: k }, (_, i) => {
      const at = this.#below(n - i);
      const drawn = pool[at]!;
      pool[at] = pool[n - i - 1]!;
      return drawn;
    });
  }

  #distinct(n: number, k: number): number[] {
    const drawn = new Set<number>();
    while (drawn.size < k) drawn.add(this.#below(n));
    return [...drawn];
  }

  /** choices(): `k` of the values, each time any of them. */
  choices<T>(values: readonly T[], k: number): T[] {
    return Array.from({ length: k }, () => values[Math.floor(this.random() * values.length)]!);
  }

  /** A whole number in [0, n), n at most 2^32: as many bits as n has, drawn until they are below it. */
  #below(n: number): number {
    const bits = 32 - Math.clz32(n);
    let drawn = this.#twister.u32() >>> (32 - bits);
    while (drawn >= n) drawn = this.#twister.u32() >>> (32 - bits);
    return drawn;
  }
}
