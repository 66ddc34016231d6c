/** Host side of shaders/geglu_{fwd,bwd}.wgsl: h = gelu(gate) * up with gelu by tanh, any number of elements. */
import type { Tape } from '../gpu/tape.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { flatWidth } from './vec4.ts';

/** gate and up in, h out; all of one size. */
export type GegluFwd = { gate: Tensor; up: Tensor; h: Tensor };

export function gegluFwd(tape: Tape, { gate, up, h }: GegluFwd): void {
  const { when, n } = flatWidth(h.elements);
  const size = h.elements;
  tape.dispatch({
    name: 'geglu_fwd',
    when,
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], h },
    threads: n,
  });
}

/** gate, up and dh in; dgate and dup are stored, not added to; all of one size. */
export type GegluBwd = { gate: Tensor; up: Tensor; dh: Tensor; dgate: Tensor; dup: Tensor };

export function gegluBwd(tape: Tape, { gate, up, dh, dgate, dup }: GegluBwd): void {
  const size = dh.elements;
  const { when, n } = flatWidth(size);
  tape.dispatch({
    name: 'geglu_bwd',
    when,
    params: { n },
    buffers: { gate: [gate, size], up: [up, size], dh, dgate: [dgate, size], dup: [dup, size] },
    threads: n,
  });
}
