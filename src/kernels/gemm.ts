/** The one form that the three products share below src/kernels/matmul.ts: y (R, C) (+)= scale * a (R, D) . b (D, C). */
import type { Tensor } from '../gpu/tensor.ts';

export type Operand = {
  readonly tensor: Tensor;
  /** Elements from one row of memory to the next, and before the first. */
  readonly ld: number;
  readonly col0: number;
  /** Rows of memory, and how many elements of each are read. */
  readonly rows: number;
  readonly cols: number;
  /** Whether a row of memory runs along the depth of the product. */
  readonly alongDepth: boolean;
};

export type Gemm = {
  /** Names the product in labels. */
  readonly label: string;
  readonly R: number;
  readonly C: number;
  readonly D: number;
  readonly a: Operand;
  readonly b: Operand;
  readonly y: { readonly tensor: Tensor; readonly ld: number; readonly col0: number };
  readonly scale: number;
  readonly accumulate: boolean;
};

/** Whether an operand can be read four elements at a time. */
export const readsVectors = ({ ld, col0, cols }: Operand): boolean => ld % 4 === 0 && col0 % 4 === 0 && cols % 4 === 0;

/** Elements of an operand that a kernel touches, from the start of its tensor. */
export const spanOf = ({ ld, rows }: Operand): number => ld * rows;
