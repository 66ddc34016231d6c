/** The three products that a linear layer and its gradients are made of; the kernels of the profile's tier do them. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Gemm, Operand, Plus } from './gemm.ts';
import { directNn, directNt, directTn } from './matmul-direct.ts';
import { simt } from './matmul-simt.ts';
import { isMatrixProduct, subgroupMatrix } from './matmul-subgroup-matrix.ts';

/** Options of all three: products are multiplied by `scale`, then stored to y, or added to it with `accumulate`. */
type Common = { readonly scale?: number; readonly accumulate?: boolean };

/** A band of columns of a wider row-major matrix: its row length and first column. */
export type Band = { readonly ld: number; readonly col0: number };

/**
 * A product of low rank that is summed on the way: scale * x (M, r) . w, both f32. In nt w is (out, r), and its N rows from
 * `row0` on are taken; in nn it is (r, K).
 */
export type LowRank = { r: number; x: Tensor; w: Tensor; scale: number; row0?: number };

export type MatmulNt = Common & {
  M: number;
  N: number;
  K: number;
  x: Tensor;
  w: Tensor;
  y: Tensor;
  yBand?: Band;
  plus?: LowRank;
  /** f32; its N elements from `col0` on are added to every row. */
  bias?: { tensor: Tensor; col0: number };
};

/** y (M, N) = x (M, K) . w (N, K)^T (+ plus, + bias): a linear layer's forward. `yBand` places the N columns inside a wider y. */
export function matmulNt(rec: Recorder, call: MatmulNt): void {
  const { M, N, K, x, w, y, yBand = { ld: N, col0: 0 }, plus, bias = null } = call;
  product(rec, 'matmul_nt', directNt, {
    ...common(call),
    bias,
    plus:
      plus === undefined
        ? null
        : second(M, plus, { ld: plus.r, col0: (plus.row0 ?? 0) * plus.r, rows: N, cols: plus.r, alongDepth: true }),
    M,
    N,
    K,
    a: { tensor: x, ld: K, col0: 0, rows: M, cols: K, alongDepth: true },
    b: { tensor: requireFloat(w), ld: K, col0: 0, rows: N, cols: K, alongDepth: true },
    y: { tensor: y, ...yBand },
  });
}

export type MatmulNn = Common & {
  M: number;
  N: number;
  K: number;
  x: Tensor;
  w: Tensor;
  y: Tensor;
  xBand?: Band;
  plus?: LowRank;
};

/** y (M, K) = x (M, N) . w (N, K) (+ plus): the gradient of a linear layer's input. */
export function matmulNn(rec: Recorder, call: MatmulNn): void {
  const { M, N, K, x, w, y, xBand = { ld: N, col0: 0 }, plus } = call;
  product(rec, 'matmul_nn', directNn, {
    ...common(call),
    bias: null,
    plus: plus === undefined ? null : second(M, plus, { ld: K, col0: 0, rows: plus.r, cols: K, alongDepth: false }),
    M,
    N: K,
    K: N,
    a: { tensor: x, ...xBand, rows: M, cols: N, alongDepth: true },
    b: { tensor: requireFloat(w), ld: K, col0: 0, rows: N, cols: K, alongDepth: false },
    y: { tensor: y, ld: K, col0: 0 },
  });
}

export type MatmulTn = Common & { M: number; N: number; K: number; d: Tensor; x: Tensor; y: Tensor; dBand?: Band };

/** y (N, K) = d (M, N)^T . x (M, K): the gradient of a linear layer's weight. */
export function matmulTn(rec: Recorder, call: MatmulTn): void {
  const { M, N, K, d, x, y, dBand = { ld: N, col0: 0 } } = call;
  product(rec, 'matmul_tn', directTn, {
    ...common(call),
    plus: null,
    bias: null,
    M: N,
    N: K,
    K: M,
    a: { tensor: d, ...dBand, rows: M, cols: N, alongDepth: false },
    b: { tensor: x, ld: K, col0: 0, rows: M, cols: K, alongDepth: false },
    y: { tensor: y, ld: K, col0: 0 },
  });
}

function second(M: number, { r, x, w, scale }: LowRank, b: Omit<Operand, 'tensor'>): Plus {
  const a = { tensor: x, ld: r, col0: 0, rows: M, cols: r, alongDepth: true };
  return { K: r, a, b: { tensor: w, ...b }, scale };
}

const common = ({ scale = 1, accumulate = false }: Common) => ({ scale, accumulate });

function requireFloat(w: Tensor): Tensor {
  if (w.dtype !== 'f32' && w.dtype !== 'f16')
    throw new KernelCallError('matmul', `w is ${w.dtype}: widen it to f32 or f16 first`);
  return w;
}

function product(
  rec: Recorder,
  label: string,
  direct: (rec: Recorder, gemm: Gemm) => void,
  gemm: Omit<Gemm, 'label'>,
): void {
  const named = { ...gemm, label };
  const { tier } = rec.profile;
  const halves = [gemm.a, ...(gemm.a.alongDepth ? [] : [gemm.b])].find(({ tensor }) => tensor.dtype === 'f16');
  if (halves !== undefined && tier === 'direct')
    throw new KernelCallError(label, `${halves.tensor.label} is f16, and ${tier} reads activations in f32`);
  if (gemm.y.tensor.dtype === 'f16' && !(tier === 'subgroup_matrix' && isMatrixProduct(named)))
    throw new KernelCallError(label, `${gemm.y.tensor.label} is f16, and only products on matrices write that`);
  if (tier === 'direct') oneAfterTheOther(rec, named, direct);
  else if (tier === 'subgroup_matrix' && isMatrixProduct(named)) subgroupMatrix(rec, named);
  else simt(rec, named);
}

/** The direct kernels have one source: a second one is a product of its own. */
function oneAfterTheOther(rec: Recorder, gemm: Gemm, direct: (rec: Recorder, gemm: Gemm) => void): void {
  const { plus } = gemm;
  direct(rec, { ...gemm, plus: null });
  if (plus !== null) direct(rec, { ...gemm, ...plus, accumulate: true, plus: null, bias: null });
}
