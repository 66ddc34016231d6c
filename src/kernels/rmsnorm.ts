/** Host side of shaders/rmsnorm_{fwd,bwd_dx,bwd_dw}.wgsl. T tokens, C channels. */
import type { GradTarget, Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { rowWork } from './team.ts';
import { flag, rowCondition } from './vec4.ts';

export type RmsnormFwd = {
  T: number;
  C: number;
  eps: number;
  /** Added to every weight: 1 where they are stored around 0. */
  offset: number;
  x: Tensor; //    (T, C) in
  w: Tensor; //    (C)    in
  y: Tensor; //    (T, C) out, f32, or of whole vectors in f16
  rstd: Tensor; // (T)    out, read by the backward
};

/** y = x * rstd * (offset + w) with rstd = 1/sqrt(mean(x^2) + eps). */
export function rmsnormFwd(rec: Recorder, { T, C, eps, offset, x, w, y, rstd }: RmsnormFwd): void {
  const { when, grid } = rowWork(rec.profile, T);
  rec.dispatch({
    name: 'rmsnorm_fwd',
    when: [...rowCondition(C), ...when, ...(y.dtype === 'f16' ? ['Y_F16'] : [])],
    params: { T, C, eps, offset },
    buffers: { x: [x, T * C], w: [w, C], y: [y, T * C], rstd: [rstd, T] },
    ...grid,
  });
}

export type RmsnormBwdDx = {
  T: number;
  C: number;
  offset: number; // as in the forward
  x: Tensor; //    (T, C) in
  w: Tensor; //    (C)    in
  rstd: Tensor; // (T)    in
  dy: Tensor; //   (T, C) in
  dx: GradTarget; // (T, C)
};

/** The gradient of the input, stored or added. */
export function rmsnormBwdDx(rec: Recorder, { T, C, offset, x, w, rstd, dy, dx }: RmsnormBwdDx): void {
  const { when, grid } = rowWork(rec.profile, T);
  rec.dispatch({
    name: 'rmsnorm_bwd_dx',
    when: [...rowCondition(C), ...when],
    params: { T, C, offset, accumulate: flag(dx.accumulate) },
    buffers: { x: [x, T * C], w: [w, C], rstd: [rstd, T], dy: [dy, T * C], dx: [dx.grad, T * C] },
    ...grid,
  });
}

export type RmsnormBwdDw = {
  T: number;
  C: number;
  x: Tensor; //    (T, C) in
  rstd: Tensor; // (T)    in
  dy: Tensor; //   (T, C) in
  dw: Tensor; //   (C)    in/out
};

/** Adds to the gradient of the weight. */
export function rmsnormBwdDw(rec: Recorder, { T, C, x, rstd, dy, dw }: RmsnormBwdDw): void {
  rec.dispatch({
    name: 'rmsnorm_bwd_dw',
    params: { T, C },
    buffers: { x: [x, T * C], rstd: [rstd, T], dy: [dy, T * C], dw: [dw, C] },
    threads: C,
  });
}
