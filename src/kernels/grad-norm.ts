/** Host side of shaders/{sum_partial,grad_norm_final}.wgsl: the norm of all gradients, in levels, without barriers. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { rowCondition } from './vec4.ts';

/** Elements that one thread sums. */
const FAN_IN = 256;

/** Index of each number in `metrics`. */
export const METRIC = { norm: 0, clip: 1, notFinite: 2 } as const;
export const METRIC_COUNT = 3;

/** Elements that the two workspaces of gradNorm need for gradients of these sizes. */
export function gradNormWorkspace(sizes: readonly number[]): readonly [number, number] {
  const first = sizes.reduce((sum, n) => sum + Math.ceil(n / FAN_IN), 0);
  return [first, Math.ceil(first / FAN_IN)];
}

export type GradNorm = {
  gradients: readonly Tensor[]; // f32, any sizes
  maxNorm: number; //              0: no clipping
  workspace: readonly [Tensor, Tensor]; // sizes from gradNormWorkspace
  metrics: Tensor; //              (>= METRIC_COUNT) out
};

/** metrics = 2-norm, the factor that AdamW applies, and whether the gradient is not finite. */
export function gradNorm(rec: Recorder, { gradients, maxNorm, workspace, metrics }: GradNorm): void {
  if (gradients.length === 0) throw new KernelCallError('grad_norm', 'no gradients given');
  let at = 0;
  for (const g of gradients) at += sumPartial(rec, g, g.elements, { squares: true, into: workspace[0], at });
  let [from, into] = workspace;
  let count = at;
  while (count > FAN_IN) {
    count = sumPartial(rec, from, count, { squares: false, into, at: 0 });
    [from, into] = [into, from];
  }
  rec.dispatch({
    name: 'grad_norm_final',
    params: { count, max_norm: maxNorm },
    buffers: { partial: [from, count], metrics: [metrics, METRIC_COUNT] },
    threads: 1,
  });
}

/** @returns how many sums it writes from `at` on */
function sumPartial(rec: Recorder, x: Tensor, n: number, to: { squares: boolean; into: Tensor; at: number }): number {
  const wide = rowCondition(n);
  const threads = Math.ceil(n / FAN_IN);
  rec.dispatch({
    name: 'sum_partial',
    when: [...wide, ...(to.squares ? ['SQUARES'] : [])],
    params: { n: wide.length > 0 ? n / 4 : n, threads, at: to.at },
    buffers: { x: [x, n], partial: [to.into, to.at + threads] },
    threads,
  });
  return threads;
}
