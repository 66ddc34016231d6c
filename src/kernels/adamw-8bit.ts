/** Host side of shaders/adamw_8bit.wgsl: one optimizer step on a range of parameters whose moments lie in 8 bits. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { DYNAMIC_CODE, DYNAMIC_UNSIGNED_CODE } from '../wasm/tables.ts';
import type { AdamwSettings } from './adamw.ts';
import { METRIC_COUNT } from './grad-norm.ts';
import { rowWork } from './team.ts';

/** Elements that share a scale (bitsandbytes' blockwise optimizers have no other size). */
export const STATE_BLOCK = 256;
const VECTOR = 4;

/** What the codes of both moments stand for: bitsandbytes' signed and unsigned dynamic maps. */
export const STATE_CODES = new Float32Array(DYNAMIC_CODE.length + DYNAMIC_UNSIGNED_CODE.length);
STATE_CODES.set(DYNAMIC_CODE);
STATE_CODES.set(DYNAMIC_UNSIGNED_CODE, DYNAMIC_CODE.length);

export type Adamw8bit = AdamwSettings & {
  p: Tensor; // parameters, in/out
  g: Tensor; // gradients, in/out: zero afterwards
  m: Tensor; // codes of the first moments, u8, in/out
  mAbsmax: Tensor; // their scales, one a block, in/out
  v: Tensor; // codes of the second moments, u8, in/out
  vAbsmax: Tensor; // their scales, one a block, in/out
  metrics: Tensor; // from gradNorm
  codes: Tensor; // STATE_CODES
};

/** AdamW on blockwise 8-bit moments, as bitsandbytes computes it on a CPU; p begins at a block of its tensor. */
export function adamw8bit(rec: Recorder, call: Adamw8bit): void {
  const { beta1, beta2, eps, weightDecay, rate = 1, p, g, m, mAbsmax, v, vAbsmax, metrics, codes } = call;
  const size = p.elements;
  const blocks = Math.ceil(size / STATE_BLOCK);
  const { when, grid } = rowWork(rec.profile, blocks);
  rec.dispatch({
    name: 'adamw_8bit',
    when,
    params: {
      vectors: size / VECTOR,
      beta1,
      beta2,
      one_minus_beta1: 1 - beta1,
      one_minus_beta2: 1 - beta2,
      eps,
      weight_decay: weightDecay,
      rate,
    },
    buffers: {
      p,
      g: [g, size],
      m: [m, size],
      m_absmax: [mAbsmax, blocks],
      v: [v, size],
      v_absmax: [vAbsmax, blocks],
      metrics: [metrics, METRIC_COUNT],
      codes: [codes, STATE_CODES.length],
    },
    ...grid,
  });
}
