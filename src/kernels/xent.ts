/** Host side of shaders/xent_{partial,loss,hit,bwd}.wgsl: softmax cross entropy on a chunk of logits rows. */
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { rowCondition } from './vec4.ts';

/** Threads that share a row of logits: enough to fill a GPU with the few rows of a chunk. */
export const XENT_PARTS = 64;

export type Xent = {
  rows: number;
  V: number;
  /** Where this chunk's rows begin in targets and rowLoss. */
  row0: number;
  logits: Tensor; //  (rows, V)      in; in/out where the gradient is wanted
  targets: Tensor; // (T)            in, i32, already shifted; negative is ignored
  peak: Tensor; //    (rows, XENT_PARTS) workspace
  total: Tensor; //   (rows, XENT_PARTS) workspace
  lse: Tensor; //     (rows)         workspace
  rowLoss: Tensor; // (T)            out, rows row0 .. row0 + rows: lse - logit[target], 0 where ignored, not weighted
};

/** After xentFwd, and before xentBwd: says of each row whether its target has the largest logit. @param hit (T) u32, out */
export function xentHit(rec: Recorder, { rows, V, row0, logits, targets, peak }: Xent, hit: Tensor): void {
  rec.dispatch({
    name: 'xent_hit',
    constants: { PARTS: XENT_PARTS },
    params: { rows, V, row0 },
    buffers: {
      logits: [logits, rows * V],
      targets: [targets, row0 + rows],
      peak: [peak, rows * XENT_PARTS],
      hit: [hit, row0 + rows],
    },
    threads: rows,
  });
}

/** Computes the losses of the rows, and leaves the logits as they are. */
export function xentFwd(rec: Recorder, { rows, V, row0, logits, targets, peak, total, lse, rowLoss }: Xent): void {
  const constants = { PARTS: XENT_PARTS };
  const parts = rows * XENT_PARTS;
  rec.dispatch({
    name: 'xent_partial',
    when: rowCondition(V),
    constants,
    params: { rows, V },
    buffers: { logits: [logits, rows * V], peak: [peak, parts], total: [total, parts] },
    threads: parts,
  });
  rec.dispatch({
    name: 'xent_loss',
    constants,
    params: { rows, V, row0 },
    buffers: {
      logits: [logits, rows * V],
      targets: [targets, row0 + rows],
      peak: [peak, parts],
      total: [total, parts],
      lse: [lse, rows],
      row_loss: [rowLoss, row0 + rows],
    },
    threads: rows,
  });
}

/** After xentFwd: the logits become the gradient of sum(rowLoss) * step.inv_tokens * step.loss_scale, in place. */
export function xentBwd(rec: Recorder, { rows, V, row0, logits, targets, lse }: Xent): void {
  const wide = rowCondition(V);
  rec.dispatch({
    name: 'xent_bwd',
    when: wide,
    params: { rows, V, row0 },
    buffers: { logits: [logits, rows * V], targets: [targets, row0 + rows], lse: [lse, rows] },
    threads: (rows * V) / (wide.length > 0 ? 4 : 1),
  });
}
