/** What every kernel test shares: comparison of each element, repeatable inputs, and finite differences in f64. */

/** Reads like an array of numbers: the references take Float32Array (a kernel's own inputs) and Float64Array alike. */
export type Vec = ArrayLike<number>;

export type Tolerance = { readonly rtol: number; readonly atol: number };

/** Throws unless |got - want| <= atol + rtol*|want| for every element. NaN fails on either side. */
export function expectClose(name: string, got: Vec, want: Vec, { rtol, atol }: Tolerance): void {
  if (got.length !== want.length) throw new Error(`${name}: length ${got.length}, want ${want.length}`);
  let worst = -1;
  let worstExcess = 0;
  let failed = 0;
  for (let i = 0; i < want.length; i++) {
    const limit = atol + rtol * Math.abs(want[i]!);
    const err = Math.abs(got[i]! - want[i]!);
    if (err <= limit) continue;
    failed++;
    const excess = Number.isNaN(err) ? Number.POSITIVE_INFINITY : err - limit;
    if (worst < 0 || excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (failed === 0) return;
  const limit = atol + rtol * Math.abs(want[worst]!);
  throw new Error(
    `${name}: ${failed} of ${want.length} elements are off; worst [${worst}]: got ${got[worst]}, want ${want[worst]} (limit ${limit})`,
  );
}

/** Throws unless both hold the same bits: -0 differs from 0, a NaN equals only itself. */
export function expectSameBits(name: string, got: Float32Array | Uint32Array, want: Float32Array | Uint32Array): void {
  if (got.length !== want.length) throw new Error(`${name}: length ${got.length}, want ${want.length}`);
  const a = new Uint32Array(got.buffer, got.byteOffset, got.length);
  const b = new Uint32Array(want.buffer, want.byteOffset, want.length);
  for (let i = 0; i < b.length; i++) {
    if (a[i] !== b[i]) throw new Error(`${name}[${i}]: got ${got[i]}, want ${want[i]}, bits differ`);
  }
}

export type Random = {
  /** n values uniform in [lo, hi). */
  uniform(n: number, lo?: number, hi?: number): Float64Array;
  /** n values from N(0, std^2). */
  normal(n: number, std?: number): Float64Array;
  /** The same, rounded to f32, so that a kernel and its reference start from equal numbers. */
  normal32(n: number, std?: number): Float32Array<ArrayBuffer>;
  /** n integers uniform in [0, limit). */
  integers(n: number, limit: number): Int32Array;
};

/** Repeatable inputs: splitmix64, the upper 53 bits of each output. */
export function random(seed: number): Random {
  const mask = (1n << 64n) - 1n;
  let state = BigInt(seed);
  const next = () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    return Number((z ^ (z >> 31n)) >> 11n) * 2 ** -53;
  };
  // 1 - u is never 0, so the logarithm is finite
  const gauss = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return {
    uniform: (n, lo = 0, hi = 1) => Float64Array.from({ length: n }, () => lo + (hi - lo) * next()),
    normal: (n, std = 1) => Float64Array.from({ length: n }, () => std * gauss()),
    normal32: (n, std = 1) => Float32Array.from({ length: n }, () => std * gauss()),
    integers: (n, limit) => Int32Array.from({ length: n }, () => Math.floor(next() * limit)),
  };
}

/** Sum of a[i]*b[i]: with fixed random weights b it turns an output into the scalar whose gradient is checked. */
export function dot(a: Vec, b: Vec): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Step of the central difference: truncation ~h^2 and cancellation ~1e-16/h are both near 1e-10 here. */
const STEP = 1e-5;

/** Compares dx with central differences of `loss`, which must read `x` anew at each call. `x` is restored. */
export function expectGradient(name: string, loss: () => number, x: Float64Array, dx: Vec): void {
  const numeric = new Float64Array(x.length);
  let largest = 0;
  for (let i = 0; i < x.length; i++) {
    const kept = x[i]!;
    x[i] = kept + STEP;
    const above = loss();
    x[i] = kept - STEP;
    const below = loss();
    x[i] = kept;
    numeric[i] = (above - below) / (2 * STEP);
    largest = Math.max(largest, Math.abs(numeric[i]!));
  }
  if (largest === 0) throw new Error(`${name}: the loss does not depend on it, so the check says nothing`);
  // cancellation error is absolute, in proportion to the loss, hence the floor beside the relative bound
  expectClose(`${name} against finite differences`, dx, numeric, { rtol: 1e-6, atol: 1e-8 * Math.max(1, largest) });
}
