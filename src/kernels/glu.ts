/** Host side of shaders/glu_{fwd,bwd}.wgsl: h = act(gate) * up, any number of elements. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { flatWidth } from './vec4.ts';

/** SwiGLU's silu, or the gelu by tanh of GeGLU. */
export type Activation = 'silu' | 'gelu_pytorch_tanh';

/** gate and up in, h (f32, or of whole vectors in f16) out; all of one size. */
export type GluFwd = { act: Activation; gate: Tensor; up: Tensor; h: Tensor };

/** h = act(gate) * up. */
export function gluFwd(rec: Recorder, { act, gate, up, h }: GluFwd): void {
  const size = h.elements;
  const { when, n } = flatWidth(size);
  rec.dispatch({
    name: 'glu_fwd',
    when: [...when, ...variant(act), ...(h.dtype === 'f16' ? ['H_F16'] : [])],
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], h },
    threads: n,
  });
}

/** gate, up and dh in; dgate and dup, both f32 or both of whole vectors in f16, are stored, not added to; all of one size. */
export type GluBwd = { act: Activation; gate: Tensor; up: Tensor; dh: Tensor; dgate: Tensor; dup: Tensor };

/** dgate = dh * up * act'(gate) and dup = dh * act(gate). */
export function gluBwd(rec: Recorder, { act, gate, up, dh, dgate, dup }: GluBwd): void {
  const size = dh.elements;
  const { when, n } = flatWidth(size);
  rec.dispatch({
    name: 'glu_bwd',
    when: [...when, ...variant(act), ...(dgate.dtype === 'f16' ? ['D_F16'] : [])],
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], dh, dgate: [dgate, size], dup: [dup, size] },
    threads: n,
  });
}

const variant = (act: Activation): string[] => (act === 'silu' ? [] : ['GELU']);
