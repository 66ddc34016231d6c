/** One product on the GPU and in f64, for every tier: used by the tests of the tiers and of the float16 operands. */
import type { DeviceProfile } from '../../src/gpu/device-profile.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { widen } from '../../src/kernels/dequant.ts';
import { type Band, type LowRank, matmulNn, matmulNt, matmulTn } from '../../src/kernels/matmul.ts';
import { packHalves, unpackHalves } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';
import { biasFwdRef, linearBwdDwRef, linearBwdDxRef, linearFwdRef } from '../ref/linear.ts';
import { f16Bits, f16Value } from '../ref/nf4.ts';

export type Op = 'nt' | 'nn' | 'tn';
export const OPS: readonly Op[] = ['nt', 'nn', 'tn'];

/** Small tiles, so that small sizes are past one; a software driver compiles them several times faster, too. */
export const SQUARE = { BM: 16, BN: 16, BK: 8, TM: 4, TN: 4 };
const OBLONG = { BM: 32, BN: 16, BK: 4, TM: 8, TN: 4 };

export const PROFILES: Record<string, Partial<DeviceProfile>> = {
  direct: { tier: 'direct' },
  simt: { tier: 'simt', tiles: { simt: SQUARE, simtF16: SQUARE } },
  'simt 8x4': { tier: 'simt', tiles: { simt: OBLONG, simtF16: OBLONG } },
};

/** 1; below, at and past the tiles of 4, 16 and 32; no multiple of anything; deep enough to be split. */
export const SIZES = [
  [1, 1, 1],
  [3, 5, 7],
  [4, 4, 4],
  [5, 9, 12],
  [15, 17, 8],
  [16, 32, 16],
  [33, 31, 20],
  [66, 37, 130],
  [20, 18, 300],
] as const;

/** The sizes as the depth of each product comes last. */
export const sizesOf = (op: Op, [a, b, depth]: readonly [number, number, number]): [number, number, number] =>
  op === 'nt' ? [a, b, depth] : op === 'nn' ? [a, depth, b] : [depth, a, b];

export type Case = {
  readonly op: Op;
  readonly sizes: readonly [M: number, N: number, K: number];
  readonly half?: boolean; //       w in f16
  readonly halfInput?: boolean; //  x of nt and nn in f16
  readonly halfOutput?: boolean; // y of nt and nn in f16
  /** w is what a kernel of the same plan rounded, as a dequantized weight is, and not as it was loaded. */
  readonly scratch?: boolean;
  readonly accumulate?: boolean;
  readonly scale?: number;
  /** Columns before and behind the band in the matrix that has one: y of nt, x of nn, d of tn. */
  readonly around?: readonly [number, number];
  /** Rank of a product that is summed on the way, in nt and nn; in nt its w starts at a row. */
  readonly rank?: number;
  /** Whether nt adds a bias, whose elements start in the middle of a tensor. */
  readonly bias?: boolean;
  readonly maxWorkgroups?: number;
};

export type Outcome = {
  readonly got: Float32Array;
  readonly want: Float64Array;
  readonly flags: number;
  readonly depth: number;
};

/** Multiples of 1/64 below 4: exact in f16, so that no rounding of an operand hides in a tolerance. */
export const exactHalves = (seed: number, n: number): Float32Array<ArrayBuffer> =>
  Float32Array.from(random(seed).integers(n, 512), (v) => (v - 256) / 64);

const HALF_NAN = 0x7e00;
const halfBits = (value: number): number => (Number.isNaN(value) ? HALF_NAN : f16Bits(value));

/** Elements of the first operand's, the second's and the result's matrix; bands are in the middle of wider rows. */
export function extents({ op, sizes: [M, N, K], around: [before, behind] = [0, 0] }: Case) {
  const ld = before + N + behind;
  if (op === 'nt') return { first: M * K, second: N * K, result: M * ld, ld };
  return op === 'nn'
    ? { first: M * ld, second: N * K, result: M * K, ld }
    : { first: M * ld, second: M * K, result: N * K, ld };
}

/** Columns [from, from + N) of a matrix with rows of ld. */
const cut = (x: Float32Array, M: number, N: number, { ld, col0 }: Band): Float32Array =>
  Float32Array.from({ length: M * N }, (_, i) => x[Math.floor(i / N) * ld + col0 + (i % N)] as number);

function reference(
  { op, sizes: [M, N, K] }: Case,
  first: Float32Array,
  second: Float32Array,
  band: Band,
): Float64Array {
  if (op === 'nt') return linearFwdRef(first, second, M, N, K);
  const narrow = cut(first, M, N, band);
  return op === 'nn' ? linearBwdDxRef(narrow, second, M, N, K) : linearBwdDwRef(narrow, second, M, N, K);
}

const ROW0 = 3;
const PLUS_SCALE = 0.25;

/** The term of low rank and the bias of a case, and what they add in f64. */
function joined(bench: Bench, { op, sizes: [M, N, K], rank = 0, bias = false }: Case) {
  const columns = op === 'nt' ? N : K;
  const added = new Float64Array(M * columns);
  const call: { plus?: LowRank; bias?: { tensor: Tensor; col0: number } } = {};
  if (rank > 0) {
    const x = exactHalves(4, M * rank);
    const w = exactHalves(5, op === 'nt' ? (ROW0 + N) * rank : rank * K);
    const term = op === 'nt' ? linearFwdRef(x, w.subarray(ROW0 * rank), M, N, rank) : linearBwdDxRef(x, w, M, rank, K);
    term.forEach((v, i) => {
      added[i]! += PLUS_SCALE * v;
    });
    call.plus = {
      r: rank,
      x: bench.input('x2', x),
      w: bench.input('w2', w),
      scale: PLUS_SCALE,
      ...(op === 'nt' && { row0: ROW0 }),
    };
  }
  if (bias) {
    const b = exactHalves(6, ROW0 + columns);
    added.set(biasFwdRef(added, b.subarray(ROW0)));
    call.bias = { tensor: bench.input('bias', b), col0: ROW0 };
  }
  return { call, added };
}

export type Operands = { readonly first: Float32Array<ArrayBuffer>; readonly second: Float32Array<ArrayBuffer> };

/** Runs the case with the profile's changes, and beside it the f64 loop. Results outside a band have to keep what they were. */
export async function runCase(profile: Partial<DeviceProfile>, one: Case, given?: Operands): Promise<Outcome> {
  const { op, sizes, half = false, halfInput = false, scratch = false, accumulate = false } = one;
  const { halfOutput = false, scale = 0.5, around, maxWorkgroups } = one;
  const [M, N, K] = sizes;
  const size = extents(one);
  const bench = new Bench({ profile, ...(maxWorkgroups !== undefined && { maxWorkgroups }) });
  const { first, second } = given ?? { first: exactHalves(1, size.first), second: exactHalves(2, size.second) };
  const before =
    accumulate || around !== undefined ? exactHalves(3, size.result) : new Float32Array(size.result).fill(Number.NaN);
  const band = { ld: size.ld, col0: around?.[0] ?? 0 };
  const halves = (label: string, values: Float32Array): Tensor =>
    bench.input(label, packHalves(Array.from(values, halfBits)), [values.length], { dtype: 'f16' });
  const y = halfOutput ? halves('y', before) : bench.input('y', before);
  const a = halfInput ? halves('first', first) : bench.input('first', first);
  const stored = half ? halves('w', second) : bench.input('second', second);
  const b = scratch ? bench.tape.tensor('scratch', [size.second], { dtype: 'f16', category: 'workspace' }) : stored;
  if (scratch) widen(bench.tape, { n: size.second, source: stored, w: b });
  const { call: extras, added } = joined(bench, one);
  const call = { M, N, K, y, scale, accumulate, ...extras };
  if (op === 'nt') matmulNt(bench.tape, { ...call, x: a, w: b, yBand: band });
  else if (op === 'nn') matmulNn(bench.tape, { ...call, x: a, w: b, xBand: band });
  else matmulTn(bench.tape, { ...call, d: a, x: b, dBand: band });
  await bench.run();
  const sums = reference(one, first, second, band);
  const cols = op === 'nt' ? N : K;
  const place = op === 'nt' ? band : { ld: K, col0: 0 };
  const want = Float64Array.from(before);
  sums.forEach((sum, i) => {
    const at = Math.floor(i / cols) * place.ld + place.col0 + (i % cols);
    want[at] = scale * sum + (added[i] ?? 0) + (accumulate ? (before[at] as number) : 0);
  });
  const [flags = -1] = await bench.readU32(bench.flags);
  return {
    got: halfOutput ? await readHalves(bench, y) : await bench.read(y),
    want,
    flags,
    depth: (op === 'nt' ? K : op === 'nn' ? N : M) + (one.rank ?? 0) + 1,
  };
}

async function readHalves(bench: Bench, y: Tensor): Promise<Float32Array> {
  return Float32Array.from(unpackHalves(await bench.readU32(y), y.elements), f16Value);
}

/**
 * f32 sums of `depth` products below 16, and one more for what is added to: each rounds by half an ulp of at most the sum.
 * What is NaN in f64 must not be finite.
 */
export function expectSums({ got, want, depth }: Outcome): void {
  if (got.length !== want.length) throw new Error(`${got.length} elements, want ${want.length}`);
  want.forEach((value, i) => {
    const error = Math.abs((got[i] as number) - value);
    if (Number.isNaN(value) ? Number.isFinite(got[i]) : !(error <= 16 * (depth + 1) * 2 ** -23))
      throw new Error(`[${i}]: got ${got[i]}, want ${value}`);
  });
}

/** Columns past a tile and not a multiple of four; ranks of one, by vectors and not, past what is staged at a time. */
export const JOINED: readonly (readonly [size: readonly [number, number, number], rank: number])[] = [
  [[5, 9, 12], 1],
  [[18, 20, 24], 4],
  [[33, 32, 20], 16],
  [[18, 31, 21], 6],
  [[17, 20, 300], 8],
  [[20, 18, 300], 19],
];

/** A NaN among the operands reaches its row or its column of the result, and through no padding any other. */
export async function runWithNaN(profile: Partial<DeviceProfile>, one: Case): Promise<void> {
  const size = extents(one);
  const [, N, K] = one.sizes;
  const operands = (): Operands => ({ first: exactHalves(1, size.first), second: exactHalves(2, size.second) });
  const bad = operands();
  // the first of a row: what a load past the end of the row before would see
  bad.first[one.op === 'nt' ? K : N] = Number.NaN;
  expectSums(await runCase(profile, one, bad));
  const badSecond = operands();
  badSecond.second[K] = Number.NaN;
  expectSums(await runCase(profile, one, badSecond));
}
