/** f64 references of the linear layer, weight (out, in) as on disk. M rows, N outputs, K inputs. */
import type { Vec } from './compare.ts';

/** y (M, N) = x (M, K) . w (N, K)^T */
export function linearFwdRef(x: Vec, w: Vec, M: number, N: number, K: number): Float64Array {
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += x[m * K + k]! * w[n * K + k]!;
      y[m * N + n] = sum;
    }
  }
  return y;
}

/** dx (M, K) = dy (M, N) . w (N, K) */
export function linearBwdDxRef(dy: Vec, w: Vec, M: number, N: number, K: number): Float64Array {
  const dx = new Float64Array(M * K);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) dx[m * K + k]! += dy[m * N + n]! * w[n * K + k]!;
    }
  }
  return dx;
}

/** dw (N, K) = dy (M, N)^T . x (M, K) */
export function linearBwdDwRef(dy: Vec, x: Vec, M: number, N: number, K: number): Float64Array {
  const dw = new Float64Array(N * K);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) dw[n * K + k]! += dy[m * N + n]! * x[m * K + k]!;
    }
  }
  return dw;
}

/** y (M, N) + b (N), row by row. */
export function biasFwdRef(y: Vec, b: Vec): Float64Array {
  return Float64Array.from(y, (v, i) => v + b[i % b.length]!);
}

/** db (N) = the sum of dy (M, N) over its rows. */
export function biasBwdRef(dy: Vec, N: number): Float64Array {
  const db = new Float64Array(N);
  for (let i = 0; i < dy.length; i++) db[i % N]! += dy[i]!;
  return db;
}
