/**
 * The one form that the three products share below src/kernels/matmul.ts:
 * y (M, N) (+)= scale * a (M, K) . b (K, N) + plus.scale * plus.a (M, plus.K) . plus.b (plus.K, N) + bias (N).
 */
import type { Tensor } from '../gpu/tensor.ts';

export type Operand = {
  readonly tensor: Tensor;
  /** Elements from one row of memory to the next, and those before the first element read. */
  readonly ld: number;
  readonly col0: number;
  /** Rows of memory, and how many elements of each are read. */
  readonly rows: number;
  readonly cols: number;
  /** Whether a row of memory runs along the depth of the product. */
  readonly alongDepth: boolean;
};

/** A second source of the sums, along which the kernel goes on behind the first; its operands are f32 in memory. */
export type Plus = { readonly K: number; readonly a: Operand; readonly b: Operand; readonly scale: number };

export type Gemm = {
  /** Names the product in labels. */
  readonly label: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly a: Operand;
  readonly b: Operand;
  readonly y: { readonly tensor: Tensor; readonly ld: number; readonly col0: number };
  readonly scale: number;
  readonly accumulate: boolean;
  readonly plus: Plus | null;
  /** f32; the N elements from `col0` on are added to every row. */
  readonly bias: { readonly tensor: Tensor; readonly col0: number } | null;
};

/** Whether an operand can be read four elements at a time. */
export const readsVectors = ({ ld, col0, cols }: Operand): boolean => ld % 4 === 0 && col0 % 4 === 0 && cols % 4 === 0;

/** Whether an operand can be read 16 bytes at a time. */
export const readsWide = ({ tensor, ld, col0, cols }: Operand): boolean => {
  const elements = tensor.dtype === 'f16' ? 8 : 4;
  return [ld, col0, cols].every((n) => n % elements === 0);
};

/** Elements of an operand that a kernel touches, from the start of its tensor. */
export const spanOf = ({ ld, rows }: Operand): number => ld * rows;

/** Conditions, Params and buffers of a second source and a bias; zero and unbound without. */
export function extrasOf({ scale, plus, bias }: Pick<Gemm, 'scale' | 'plus' | 'bias'>): {
  when: string[];
  params: Record<'K2' | 'lda2' | 'ldb2' | 'b2_0' | 'scale2' | 'bias0', number>;
  buffers: Record<string, readonly [Tensor, number]>;
} {
  const vectors = plus !== null && readsVectors(plus.a) && readsVectors(plus.b);
  return {
    when: [...(plus ? ['PLUS'] : []), ...(vectors ? ['VEC4_PLUS'] : []), ...(bias ? ['BIAS'] : [])],
    params: {
      K2: plus?.K ?? 0,
      lda2: plus?.a.ld ?? 0,
      ldb2: plus?.b.ld ?? 0,
      b2_0: plus?.b.col0 ?? 0,
      scale2: (plus?.scale ?? 0) / scale,
      bias0: bias?.col0 ?? 0,
    },
    buffers: {
      ...(plus && { a2: [plus.a.tensor, spanOf(plus.a)], b2: [plus.b.tensor, plus.b.col0 + spanOf(plus.b)] }),
      ...(bias && { bias: [bias.tensor, bias.tensor.elements] }),
    },
  };
}
