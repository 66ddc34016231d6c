/** Host side of shaders/loss_scale.wgsl: dynamic loss scaling as torch.amp.GradScaler does it, decided on the GPU. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { METRIC_COUNT } from './grad-norm.ts';

/** GradScaler's arguments, under its names in camel case. A fixed scale has factors of 1. */
export type LossScaling = {
  readonly initScale: number;
  readonly growthFactor: number;
  readonly backoffFactor: number;
  readonly growthInterval: number;
};

/** Words of the scaler: the first four are the beginning of the step scalars, the last two are for the host. */
export const SCALER = { lr: 0, bias1: 1, sqrtBias2: 2, lossScale: 3, tracker: 4, updates: 5, used: 6 } as const;
export const SCALER_WORDS = 8;
/** Words that a step takes over from the scaler. */
export const SCALED_WORDS = 4;
/** Rows of rates that the host keeps ahead of the GPU, and what a row holds: lr, bias1, sqrt_bias2. */
export const RATE_ROWS = 4;
export const RATE_WORDS = 3;

export type LossScale = Omit<LossScaling, 'initScale'> & {
  metrics: Tensor; // from gradNorm, in/out: its flag is raised where a kernel raised one
  rates: Tensor; //   (RATE_ROWS * RATE_WORDS)  in
  scaler: Tensor; //  (SCALER_WORDS)            in/out
};

/** Adapts the scale to what gradNorm found; goes between gradNorm and adamw. */
export function lossScale(rec: Recorder, call: LossScale): void {
  const { growthFactor, backoffFactor, growthInterval, metrics, rates, scaler } = call;
  rec.dispatch({
    name: 'loss_scale',
    params: { growth_factor: growthFactor, backoff_factor: backoffFactor, growth_interval: growthInterval },
    buffers: {
      metrics: [metrics, METRIC_COUNT],
      rates: [rates, RATE_ROWS * RATE_WORDS],
      scaler: [scaler, SCALER_WORDS],
    },
    threads: 1,
  });
}
