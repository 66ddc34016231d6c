/** Host side of shaders/matvec_4bit.wgsl and matvec_4bit_rows.wgsl: a few rows through a 4-bit weight that is decoded on the way and never written. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { NESTED_BLOCK_SIZE } from '../wasm/types.ts';
import { type Scales, TABLE_LENGTH } from './dequant.ts';
import type { Band } from './matmul.ts';

/** Rows of x that the kernel keeps a sum of, in registers. */
export const MATVEC_ROWS = 8;
/** Elements of a word of packed codes; all of them have to be of one row. */
const WORD_ELEMENTS = 8;
/** Elements of the 16 bytes that a GPU loads at once. */
const LOAD_ELEMENTS = 32;
/** Rows of w that a workgroup takes, for which it loads x once: sums of 8 rows of x stay in registers. */
export const ROWS_AT_ONCE = 4;

export type Matvec4bit = {
  /** Rows of x and y, at most MATVEC_ROWS. */
  readonly T: number;
  /** Rows of w. */
  readonly N: number;
  /** Columns of w, a multiple of 8. */
  readonly K: number;
  readonly blockSize: number;
  /** Block of w's first element within its tensor. */
  readonly firstBlock: number;
  readonly x: Tensor;
  readonly packed: Tensor;
  readonly scales: Scales;
  readonly tables: Tensor;
  readonly y: Tensor;
  readonly yBand?: Band;
  /** f16: both operands are rounded to it, as if w were decoded into an f16 scratch. Sums are f32. */
  readonly operands: 'f32' | 'f16';
};

/**
 * Of how many words of w, and halves of a word, x is loaded at once; of how many words compilers may load it ahead. Registers hold
 * 16 vectors of x beside the sums, and 8 where there are most sums.
 */
function stepsOf(T: number) {
  if (T === 1) return { WORDS: 4, HALVES: 2, AHEAD: 4 };
  if (T === 2) return { WORDS: 2, HALVES: 2, AHEAD: 4 };
  return T <= 4 ? { WORDS: 1, HALVES: 2, AHEAD: 1 } : { WORDS: 1, HALVES: 1, AHEAD: 2 };
}

/** Whether the kernel can take a product of `T` rows and a weight of `K` columns. */
export function isMatvec(T: number, K: number): boolean {
  return T <= MATVEC_ROWS && K % WORD_ELEMENTS === 0;
}

/** y (T, N) = x (T, K) . w (N, K)^T, w in 4 bits. Forward only. `yBand` places the N columns inside a wider y. */
export function matvec4bit(rec: Recorder, call: Matvec4bit): void {
  const { T, N, K, blockSize, firstBlock, x, packed, scales, tables, y, operands } = call;
  if (!isMatvec(T, K))
    throw new KernelCallError(
      'matvec_4bit',
      `got ${T} rows of ${K}, takes at most ${MATVEC_ROWS} rows of a multiple of ${WORD_ELEMENTS}`,
    );
  if (blockSize % WORD_ELEMENTS !== 0)
    throw new KernelCallError('matvec_4bit', `block size ${blockSize} is not a multiple of ${WORD_ELEMENTS}`);
  const { ld, col0 } = call.yBand ?? { ld: N, col0: 0 };
  const blocks = firstBlock + Math.ceil((N * K) / blockSize);
  const double = scales.kind === 'double';
  // software drivers take a thread for each row of w, as barriers are slow there; so do widths that loads of 16 bytes do not divide
  const shift = Math.log2(blockSize);
  const isWhole = K % LOAD_ELEMENTS === 0 && blockSize >= LOAD_ELEMENTS && Number.isInteger(shift);
  const byRows = rec.profile.tier !== 'direct' && isWhole;
  rec.dispatch({
    name: byRows ? 'matvec_4bit_rows' : 'matvec_4bit',
    when: [
      ...(double ? ['DOUBLE'] : []),
      ...(operands === 'f16' ? ['F16'] : []),
      ...(byRows && stepsOf(T).HALVES === 2 ? ['WHOLE'] : []),
      ...(byRows && (operands === 'f16' || stepsOf(T).HALVES === 1) ? ['SCALED'] : []),
    ],
    constants: { T, ...(byRows && { ROWS: ROWS_AT_ONCE, ...stepsOf(T) }) },
    params: {
      N,
      K,
      first_block: firstBlock,
      ...(byRows ? { block_shift: shift } : { Q: blockSize }),
      ldy: ld,
      col0,
      offset_at: double ? scales.nested.elements - 1 : 0,
    },
    buffers: {
      x: [x, T * K],
      packed: [packed, (N * K) / 2],
      tables: [tables, TABLE_LENGTH],
      y: [y, (T - 1) * ld + col0 + N],
      ...(double
        ? { codes: [scales.codes, blocks], nested: [scales.nested, Math.ceil(blocks / NESTED_BLOCK_SIZE) + 1] }
        : { absmax: [scales.absmax, blocks] }),
    },
    ...(byRows ? { workgroups: Math.ceil(N / ROWS_AT_ONCE) } : { threads: N }),
  });
}
