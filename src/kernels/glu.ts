/** Host side of shaders/glu_{fwd,bwd,bwd_half}.wgsl: h = act(gate) * up, any number of elements. */
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

/** gate, up and dh in; dgate and dup are stored, not added to; all f32 and of one size. */
export type GluBwd = { act: Activation; gate: Tensor; up: Tensor; dh: Tensor; dgate: Tensor; dup: Tensor };

/** dgate = dh * up * act'(gate) and dup = dh * act(gate). */
export function gluBwd(rec: Recorder, { act, gate, up, dh, dgate, dup }: GluBwd): void {
  const size = dh.elements;
  const { when, n } = flatWidth(size);
  rec.dispatch({
    name: 'glu_bwd',
    when: [...when, ...variant(act)],
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], dh, dgate: [dgate, size], dup: [dup, size] },
    threads: n,
  });
}

/** gate and up (T, F) f32 in, and their gradients out: (T, 2 F) f16, of which the first F columns are theirs. dh (T, F) f32 or f16. */
export type GluBwdHalf = { act: Activation; T: number; F: number; gate: Tensor; up: Tensor; dh: Tensor };

/** dgate and dup as `gluBwd` has them, rounded, in the memory of gate and up. */
export function gluBwdHalf(rec: Recorder, { act, T, F, gate, up, dh }: GluBwdHalf): void {
  rec.dispatch({
    name: 'glu_bwd_half',
    when: [...variant(act), ...(dh.dtype === 'f16' ? ['DH_F16'] : [])],
    params: { T, F },
    buffers: { gate: [gate, T * F], up: [up, T * F], dh: [dh, T * F] },
    workgroups: T,
  });
}

const variant = (act: Activation): string[] => (act === 'silu' ? [] : ['GELU']);
