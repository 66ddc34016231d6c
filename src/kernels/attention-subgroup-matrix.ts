/** Host side of the tensor-core tier of attention: none yet. */
import type { Tape } from '../gpu/tape.ts';

export type MatrixBlocks = { readonly none: never };
export const planMatrixBlocks = (_profile: unknown, _D: number): MatrixBlocks | string =>
  'attention has no such kernels yet';
export function matrixFwd(_tape: Tape, _call: unknown, _blocks: MatrixBlocks): void {}
export function matrixBwd(_tape: Tape, _call: unknown, _blocks: MatrixBlocks): void {}
