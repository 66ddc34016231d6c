/** Host side of shaders/matmul_{nt,nn,tn}.wgsl: the three products that a linear layer and its gradients are made of. */
import { KernelCallError } from '../errors.ts';
import type { Tape } from '../gpu/tape.ts';
import type { Tensor } from '../gpu/tensor.ts';

/** What the three share: y is stored, or added to; products are multiplied by `scale`. */
type Common = { readonly scale?: number; readonly accumulate?: boolean };

/** A band of columns of a wider row-major matrix: its row length and first column. */
export type Band = { readonly ld: number; readonly col0: number };

/** Threads a matmul needs: one per 4 x 4 tile. */
const tiles = (rows: number, cols: number): number => Math.ceil(rows / 4) * Math.ceil(cols / 4);

function variants(w: Tensor, vec4: boolean): string[] {
  if (w.dtype !== 'f32' && w.dtype !== 'f16')
    throw new KernelCallError('matmul', `w is ${w.dtype}: widen it to f32 or f16 first`);
  return [...(vec4 ? ['VEC4'] : []), ...(w.dtype === 'f16' ? ['F16'] : [])];
}

/** Whether a band's rows can be read four columns at a time. */
const aligned = (columns: number, { ld, col0 }: Band): boolean => columns % 4 === 0 && ld % 4 === 0 && col0 % 4 === 0;

const flag = (on: boolean | undefined): number => (on === true ? 1 : 0);

export type MatmulNt = Common & { M: number; N: number; K: number; x: Tensor; w: Tensor; y: Tensor; yBand?: Band };

/** y (M, N) = x (M, K) . w (N, K)^T: a linear layer's forward. `yBand` places the N columns inside a wider y. */
export function matmulNt(
  tape: Tape,
  { M, N, K, x, w, y, scale = 1, accumulate, yBand = { ld: N, col0: 0 } }: MatmulNt,
): void {
  tape.dispatch({
    name: 'matmul_nt',
    when: variants(w, K % 4 === 0),
    params: { M, N, K, ldy: yBand.ld, col0: yBand.col0, scale, accumulate: flag(accumulate) },
    buffers: { x: [x, M * K], w: [w, N * K], y: [y, M * yBand.ld] },
    threads: tiles(M, N),
  });
}

export type MatmulNn = Common & { M: number; N: number; K: number; x: Tensor; w: Tensor; y: Tensor; xBand?: Band };

/** y (M, K) = x (M, N) . w (N, K): the gradient of a linear layer's input. */
export function matmulNn(
  tape: Tape,
  { M, N, K, x, w, y, scale = 1, accumulate, xBand = { ld: N, col0: 0 } }: MatmulNn,
): void {
  tape.dispatch({
    name: 'matmul_nn',
    when: [...variants(w, K % 4 === 0), ...(aligned(N, xBand) ? ['DEPTH4'] : [])],
    params: { M, N, K, ldx: xBand.ld, col0: xBand.col0, scale, accumulate: flag(accumulate) },
    buffers: { x: [x, M * xBand.ld], w: [w, N * K], y: [y, M * K] },
    threads: tiles(M, K),
  });
}

export type MatmulTn = Common & { M: number; N: number; K: number; d: Tensor; x: Tensor; y: Tensor; dBand?: Band };

/** y (N, K) = d (M, N)^T . x (M, K): the gradient of a linear layer's weight. */
export function matmulTn(
  tape: Tape,
  { M, N, K, d, x, y, scale = 1, accumulate, dBand = { ld: N, col0: 0 } }: MatmulTn,
): void {
  tape.dispatch({
    name: 'matmul_tn',
    when: [...(K % 4 === 0 ? ['VEC4'] : []), ...(aligned(N, dBand) ? ['ROWS4'] : [])],
    params: { M, N, K, ldd: dBand.ld, col0: dBand.col0, scale, accumulate: flag(accumulate) },
    buffers: { d: [d, M * dBand.ld], x: [x, M * K], y: [y, N * K] },
    threads: tiles(N, K),
  });
}
