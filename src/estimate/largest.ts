/** Finds the largest number whose plan fits a budget, from as few plans as it can: bytes grow with it, nearly in a line. */

/** Bytes by a number from 1 on; infinite where the device cannot do it. What was asked for is kept. */
export class Curve {
  readonly #known = new Map<number, number>();
  readonly #bytesOf: (n: number) => Promise<number>;

  constructor(bytesOf: (n: number) => Promise<number>) {
    this.#bytesOf = bytesOf;
  }

  async at(n: number): Promise<number> {
    const known = this.#known.get(n) ?? (await this.#bytesOf(n));
    this.#known.set(n, known);
    return known;
  }

  /** The largest known number that fits, and the smallest that does not. */
  around(budget: number): { readonly fits: number; readonly exceeds: number } {
    let [fits, exceeds] = [0, Number.POSITIVE_INFINITY];
    for (const [n, bytes] of this.#known) {
      if (bytes <= budget) fits = Math.max(fits, n);
      else exceeds = Math.min(exceeds, n);
    }
    return { fits, exceeds };
  }

  /** Where the line through the two known numbers nearest to `n` reaches a budget; null without two. */
  reaches(budget: number, n: number): number | null {
    const finite = [...this.#known].filter(([, bytes]) => Number.isFinite(bytes));
    const [a, b] = finite.sort(([x], [y]) => Math.abs(x - n) - Math.abs(y - n));
    if (a === undefined || b === undefined || a[1] === b[1]) return null;
    return a[0] + ((budget - a[1]) * (b[0] - a[0])) / (b[1] - a[1]);
  }
}

/** Beyond so many guesses along a line, the range is halved: a plan may bend where the device's limits do. */
const MOST_GUESSES = 4;

/** The largest number of 1 to `most` whose bytes are within `budget`; null where 1 is not. Exact: the next one exceeds it. */
export async function largestWithin(curve: Curve, most: number, budget: number): Promise<number | null> {
  if ((await curve.at(1)) > budget) return null;
  if (curve.around(budget).exceeds > most) await curve.at(most);
  for (let guesses = 0; ; guesses++) {
    const { fits, exceeds } = curve.around(budget);
    if (fits >= most) return most;
    if (exceeds - fits <= 1) return fits;
    const half = (fits + exceeds) / 2;
    const guess = guesses < MOST_GUESSES ? (curve.reaches(budget, fits) ?? half) : half;
    await curve.at(Math.min(exceeds - 1, Math.max(fits + 1, Math.floor(guess))));
  }
}
