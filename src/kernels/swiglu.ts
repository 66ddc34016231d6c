/** Host side of shaders/swiglu_{fwd,bwd}.wgsl: h = silu(gate) * up, any number of elements. */
import type { Tape } from '../gpu/tape.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { flatWidth } from './vec4.ts';

/** gate and up in, h out; all of one size. */
export type SwigluFwd = { gate: Tensor; up: Tensor; h: Tensor };

export function swigluFwd(tape: Tape, { gate, up, h }: SwigluFwd): void {
  const { when, n } = flatWidth(h.elements);
  const size = h.elements;
  tape.dispatch({
    name: 'swiglu_fwd',
    when,
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], h },
    threads: n,
  });
}

/** gate, up and dh in; dgate and dup are stored, not added to; all of one size. */
export type SwigluBwd = { gate: Tensor; up: Tensor; dh: Tensor; dgate: Tensor; dup: Tensor };

export function swigluBwd(tape: Tape, { gate, up, dh, dgate, dup }: SwigluBwd): void {
  const size = dh.elements;
  const { when, n } = flatWidth(size);
  tape.dispatch({
    name: 'swiglu_bwd',
    when,
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], dh, dgate: [dgate, size], dup: [dup, size] },
    threads: n,
  });
}
