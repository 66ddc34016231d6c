/** f64 reference of a DoRA layer as PEFT has it: T rows, N outputs, K inputs, rank R. */
import type { Vec } from './compare.ts';
import { linearBwdDwRef, linearBwdDxRef, linearFwdRef } from './linear.ts';

export type DoraShape = { readonly T: number; readonly N: number; readonly K: number; readonly R: number };
export type DoraWeights = {
  readonly W: Vec; //    (N, K)
  readonly A: Vec; //    (R, K)
  readonly B: Vec; //    (N, R)
  readonly m: Vec; //    (N)
  readonly bias: Vec; // (N)
  readonly scaling: number;
};

/** W + scaling * B A (N, K). */
function adapted({ N, K, R }: DoraShape, { W, A, B, scaling }: DoraWeights): Float64Array {
  const sum = Float64Array.from(W);
  for (let n = 0; n < N; n++) {
    for (let r = 0; r < R; r++) {
      for (let k = 0; k < K; k++) sum[n * K + k]! += scaling * B[n * R + r]! * A[r * K + k]!;
    }
  }
  return sum;
}

/** The norms of the rows of W + scaling * B A. */
export function doraNormRef(shape: DoraShape, weights: DoraWeights): Float64Array {
  const { N, K } = shape;
  const rows = adapted(shape, weights);
  return Float64Array.from({ length: N }, (_, n) => Math.hypot(...rows.subarray(n * K, (n + 1) * K)));
}

/** y = W x - W xd + (m / norm) (W + scaling * B A) xd + bias, xd = x * keep. `norm` is a constant of the gradient. */
export function doraFwdRef(shape: DoraShape, weights: DoraWeights, norm: Vec, x: Vec, keep: Vec): Float64Array {
  const { T, N, K } = shape;
  const { W, m, bias } = weights;
  const xd = Float64Array.from(x, (v, i) => v * keep[i]!);
  const left = Float64Array.from(x, (v, i) => v - xd[i]!);
  const u = linearFwdRef(xd, adapted(shape, weights), T, N, K);
  return linearFwdRef(left, W, T, N, K).map((v, i) => v + (m[i % N]! / norm[i % N]!) * u[i]! + bias[i % N]!);
}

export type DoraGradients = Record<'dx' | 'dA' | 'dB' | 'dm' | 'dbias', Float64Array>;

export function doraBwdRef(
  shape: DoraShape,
  weights: DoraWeights,
  norm: Vec,
  { x, keep, dy }: { x: Vec; keep: Vec; dy: Vec },
): DoraGradients {
  const { T, N, K, R } = shape;
  const { W, A, B, m, scaling } = weights;
  const xd = Float64Array.from(x, (v, i) => v * keep[i]!);
  const sum = adapted(shape, weights);
  const u = linearFwdRef(xd, sum, T, N, K);
  const du = Float64Array.from(dy, (v, i) => (v * m[i % N]!) / norm[i % N]!);
  const [dm, dbias] = [new Float64Array(N), new Float64Array(N)];
  for (let i = 0; i < T * N; i++) {
    dm[i % N]! += (dy[i]! * u[i]!) / norm[i % N]!;
    dbias[i % N]! += dy[i]!;
  }
  const dSum = linearBwdDwRef(du, xd, T, N, K);
  const dA = linearBwdDxRef(transposed(B, N, R), dSum, R, N, K).map((v) => scaling * v);
  const dB = linearFwdRef(dSum, A, N, R, K).map((v) => scaling * v);
  const dxd = linearBwdDxRef(du, sum, T, N, K);
  const direct = linearBwdDxRef(dy, W, T, N, K);
  const dx = direct.map((v, i) => v + keep[i]! * (dxd[i]! - v));
  return { dx, dA, dB, dm, dbias };
}

function transposed(matrix: Vec, rows: number, columns: number): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
