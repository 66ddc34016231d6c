/** f64 references of RMSNorm. x (T, C), w (C); `offset` is added to every weight. */
import type { Vec } from './compare.ts';

/** y (T, C) = x * rstd * (offset + w) with rstd (T) = 1/sqrt(mean(x^2) + eps). */
export function rmsnormFwdRef(x: Vec, w: Vec, T: number, C: number, eps: number, offset = 0) {
  const y = new Float64Array(T * C);
  const rstd = new Float64Array(T);
  for (let t = 0; t < T; t++) {
    let sumSq = 0;
    for (let c = 0; c < C; c++) sumSq += x[t * C + c]! ** 2;
    const r = 1 / Math.sqrt(sumSq / C + eps);
    rstd[t] = r;
    for (let c = 0; c < C; c++) y[t * C + c] = x[t * C + c]! * r * (offset + w[c]!);
  }
  return { y, rstd };
}

/** dx (T, C) and dw (C), from dy (T, C) and the forward's rstd. */
export function rmsnormBwdRef(x: Vec, w: Vec, rstd: Vec, dy: Vec, T: number, C: number, offset = 0) {
  const dx = new Float64Array(T * C);
  const dw = new Float64Array(C);
  for (let t = 0; t < T; t++) {
    const r = rstd[t]!;
    let along = 0; // how far the incoming gradient points along x: the direction that the norm takes away
    for (let c = 0; c < C; c++) along += dy[t * C + c]! * (offset + w[c]!) * x[t * C + c]!;
    for (let c = 0; c < C; c++) {
      const i = t * C + c;
      dx[i] = r * (dy[i]! * (offset + w[c]!) - (x[i]! * r * r * along) / C);
      dw[c]! += dy[i]! * x[i]! * r;
    }
  }
  return { dx, dw };
}
