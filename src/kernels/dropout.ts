/** Host side of shaders/dropout_{fwd,bwd}.wgsl. The mask is never stored: both directions make it from Philox. */
import { KernelCallError } from '../errors.ts';
import type { GradTarget, Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { dropThreshold } from './philox.ts';
import { rowCondition } from './vec4.ts';

/** `p` is the probability to drop, 0 <= p < 1; `op` numbers the dropout among those of the model. */
export type DropoutSettings = { p: number; op: number };

/** y = x * keep / (1 - p); x, f32 or of whole vectors in f16, and y of one size. */
export function dropoutFwd(rec: Recorder, { p, op, x, y }: DropoutSettings & { x: Tensor; y: Tensor }): void {
  const n = y.elements;
  rec.dispatch({
    name: 'dropout_fwd',
    when: [...rowCondition(n), ...(x.dtype === 'f16' ? ['X_F16'] : [])],
    params: { n, ...settings('dropout_fwd', p, op) },
    buffers: { x: [x, n], y },
    threads: Math.ceil(n / 4),
  });
}

/** dx = or += dy * keep / (1 - p), with the mask of the forward of the same `op` in the same micro-step. */
export function dropoutBwd(rec: Recorder, { p, op, dy, dx }: DropoutSettings & { dy: Tensor; dx: GradTarget }): void {
  const n = dy.elements;
  rec.dispatch({
    name: 'dropout_bwd',
    when: rowCondition(n),
    params: { n, ...settings('dropout_bwd', p, op), accumulate: dx.accumulate ? 1 : 0 },
    buffers: { dy, dx: [dx.grad, n] },
    threads: Math.ceil(n / 4),
  });
}

function settings(kernel: string, p: number, op: number) {
  if (!(p >= 0 && p < 1)) throw new KernelCallError(kernel, `p is ${p}, wants 0 <= p < 1`);
  return { op, threshold: dropThreshold(p), scale: 1 / (1 - p) };
}
