/** Host side of shaders/adamw.wgsl: one optimizer step on a range of parameters. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { METRIC_COUNT } from './grad-norm.ts';
import { flatWidth } from './vec4.ts';

export type AdamwSettings = {
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Factor on the learning rate; 1 by default. */
  rate?: number;
};

export type Adamw = AdamwSettings & {
  p: Tensor; // parameters, in/out
  g: Tensor; // gradients, in/out: zero afterwards
  m: Tensor; // first moments, in/out
  v: Tensor; // second moments, in/out
  metrics: Tensor; // from gradNorm
};

/** AdamW as torch computes it; learning rate and bias corrections are in the step scalars. Skips a step whose gradient is not finite. */
export function adamw(rec: Recorder, call: Adamw): void {
  const { beta1, beta2, eps, weightDecay, rate = 1, p, g, m, v, metrics } = call;
  const size = p.elements;
  const { when, n } = flatWidth(size);
  rec.dispatch({
    name: 'adamw',
    when,
    params: {
      n,
      beta1,
      beta2,
      one_minus_beta1: 1 - beta1,
      one_minus_beta2: 1 - beta2,
      eps,
      weight_decay: weightDecay,
      rate,
    },
    buffers: { p, g: [g, size], m: [m, size], v: [v, size], metrics: [metrics, METRIC_COUNT] },
    threads: n,
  });
}
