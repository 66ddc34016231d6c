/** Host side of shaders/matvec_16bit.wgsl: a few rows through a weight in bfloat16 or float16 that is widened on the way. */
import { KernelCallError } from '../errors.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Dtype, Tensor } from '../gpu/tensor.ts';
import type { Band } from './matmul.ts';
import { MATVEC_ROWS, ROWS_AT_ONCE } from './matvec-4bit.ts';

/** Elements of the 16 bytes of a load; all of them have to be of one row. */
const LOAD_ELEMENTS = 8;

export type Matvec16bit = {
  /** Rows of x and y, at most MATVEC_ROWS. */
  readonly T: number;
  /** Rows of w. */
  readonly N: number;
  /** Columns of w, a multiple of 8. */
  readonly K: number;
  readonly x: Tensor;
  /** bf16 or f16. */
  readonly w: Tensor;
  readonly y: Tensor;
  readonly yBand?: Band;
  /** f16: both operands are rounded to it, as if w were widened into an f16 scratch. Sums are f32. */
  readonly operands: 'f32' | 'f16';
};

/** Whether the kernel can take a product of `T` rows and a weight of `K` columns. It is one of GPUs: software drivers widen the weight. */
export function isMatvec16bit({ tier }: DeviceProfile, dtype: Dtype, T: number, K: number): boolean {
  return tier !== 'direct' && (dtype === 'bf16' || dtype === 'f16') && T <= MATVEC_ROWS && K % LOAD_ELEMENTS === 0;
}

/** y (T, N) = x (T, K) . w (N, K)^T. Forward only. `yBand` places the N columns inside a wider y. */
export function matvec16bit(rec: Recorder, { T, N, K, x, w, y, yBand, operands }: Matvec16bit): void {
  if (!isMatvec16bit(rec.profile, w.dtype, T, K))
    throw new KernelCallError(
      'matvec_16bit',
      `got ${T} rows of ${K} and w in ${w.dtype} on ${rec.profile.tier}, takes at most ${MATVEC_ROWS} rows of a multiple of ${LOAD_ELEMENTS}, w in bf16 or f16, not on direct`,
    );
  const { ld, col0 } = yBand ?? { ld: N, col0: 0 };
  rec.dispatch({
    name: 'matvec_16bit',
    when: [...(w.dtype === 'bf16' ? ['BF16'] : []), ...(operands === 'f16' ? ['F16'] : [])],
    constants: { T, ROWS: ROWS_AT_ONCE },
    params: { N, K, ldy: ld, col0 },
    buffers: { x: [x, T * K], w: [w, N * K], y: [y, (T - 1) * ld + col0 + N] },
    workgroups: Math.ceil(N / ROWS_AT_ONCE),
  });
}
