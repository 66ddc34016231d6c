/** Host side of shaders/sgd.wgsl: one optimizer step on a range of parameters. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { METRIC_COUNT } from './grad-norm.ts';
import { flatWidth } from './vec4.ts';

export type Sgd = {
  weightDecay: number;
  rate?: number; // factor on the learning rate
  p: Tensor; // parameters, in/out
  g: Tensor; // gradients, in/out: zero afterwards
  metrics: Tensor; // from gradNorm
};

/** Gradient descent without momentum, as torch's SGD: the decay is part of the gradient. Skips a step whose gradient is not finite. */
export function sgd(rec: Recorder, { weightDecay, rate = 1, p, g, metrics }: Sgd): void {
  const size = p.elements;
  const { when, n } = flatWidth(size);
  rec.dispatch({
    name: 'sgd',
    when,
    params: { n, weight_decay: weightDecay, rate },
    buffers: { p, g: [g, size], metrics: [metrics, METRIC_COUNT] },
    threads: n,
  });
}
