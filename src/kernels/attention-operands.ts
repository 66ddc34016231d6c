/** Host side of shaders/attention_operands.wgsl: what attention on tensor cores reads, and its gradients for the products behind it. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** How q and k are turned: as in src/kernels/rope.ts. */
export type Turn = {
  cos: Tensor; // (>= S, D/2) in
  sin: Tensor; // (>= S, D/2) in
  /** (T) u32, in: where each row stands, below S; t mod S where absent. */
  positions?: Tensor | undefined;
};

type Shape = {
  /** Rows, and tokens of a sequence. */
  T: number;
  S: number;
  H: number;
  K: number;
  D: number;
  /** Null where q and k are not turned. */
  turn: Turn | null;
};

export type QkvOperands = Shape & {
  q: Tensor; //    (T, H*D) f32 in
  k: Tensor; //    (T, K*D) f32 in
  v: Tensor; //    (T, K*D) f32 in
  qOut: Tensor; // (T, H*D) f16 out
  kOut: Tensor; // (T, K*D) f16 out
  vOut: Tensor; // (T, K*D) f16 out
};

/** q and k turned by their positions, and v, all rounded to f16. */
export function qkvOperands(rec: Recorder, { v, vOut, ...call }: QkvOperands): void {
  record(rec, call, 1, { v, vOut });
}

/** The gradients of q and k before their turn, rounded to f16. */
export function qkGradients(rec: Recorder, call: Omit<QkvOperands, 'v' | 'vOut'>): void {
  record(rec, call, -1, null);
}

function record(
  rec: Recorder,
  { T, S, H, K, D, turn, q, k, qOut, kOut }: Omit<QkvOperands, 'v' | 'vOut'>,
  sign: 1 | -1,
  values: Pick<QkvOperands, 'v' | 'vOut'> | null,
): void {
  if (D % 8 !== 0) throw new KernelCallError('attention_operands', `head dim ${D} is not a multiple of 8`);
  const [query, key, reach] = [T * H * D, T * K * D, (S * D) / 2];
  rec.dispatch({
    name: 'attention_operands',
    when: [
      ...(values === null ? ['GRADIENTS'] : []),
      ...(turn ? ['ROPE'] : []),
      ...(turn?.positions ? ['POSITIONS'] : []),
    ],
    params: { T, S, H, K, D, sign },
    buffers: {
      q: [q, query],
      k: [k, key],
      q_out: [qOut, query],
      k_out: [kOut, key],
      ...(values && { v: [values.v, key], v_out: [values.vOut, key] }),
      ...(turn && { cos_table: [turn.cos, reach], sin_table: [turn.sin, reach] }),
      ...(turn?.positions && { positions: [turn.positions, T] }),
    },
    threads: (T * (H + (values === null ? K : 2 * K)) * D) / 8,
  });
}
