/** Host side of shaders/lion.wgsl: one optimizer step on a range of parameters. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { METRIC_COUNT } from './grad-norm.ts';
import { flatWidth } from './vec4.ts';

export type Lion = {
  beta1: number;
  beta2: number;
  weightDecay: number;
  rate?: number; // factor on the learning rate
  p: Tensor; // parameters, in/out
  g: Tensor; // gradients, in/out: zero afterwards
  m: Tensor; // moments, in/out
  metrics: Tensor; // from gradNorm
};

/** Lion as bitsandbytes computes it (arXiv 2302.06675). Skips a step whose gradient is not finite. */
export function lion(rec: Recorder, { beta1, beta2, weightDecay, rate = 1, p, g, m, metrics }: Lion): void {
  const size = p.elements;
  const { when, n } = flatWidth(size);
  const complements = { one_minus_beta1: 1 - beta1, one_minus_beta2: 1 - beta2 };
  rec.dispatch({
    name: 'lion',
    when,
    params: { n, beta1, beta2, ...complements, weight_decay: weightDecay, rate },
    buffers: { p, g: [g, size], m: [m, size], metrics: [metrics, METRIC_COUNT] },
    threads: n,
  });
}
