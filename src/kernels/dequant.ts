/** Host side of shaders/dequant_4bit.wgsl and shaders/widen.wgsl: stored weights, and kept activations, become what is read. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { NESTED_BLOCK_SIZE } from '../wasm/types.ts';

/** Length of the tables buffer: the 16 values of a 4-bit code, then the 256 of the dynamic map. */
export const TABLE_LENGTH = 16 + 256;

/** The scales of a 4-bit tensor as they lie on the GPU. */
export type Scales =
  | { readonly kind: 'plain'; readonly absmax: Tensor }
  | { readonly kind: 'double'; readonly codes: Tensor /** nested absmax, then the offset */; readonly nested: Tensor };

export type Dequant4bit = {
  readonly n: number;
  readonly blockSize: number;
  /** Block of the shard's first element within its tensor. */
  readonly firstBlock: number;
  readonly packed: Tensor;
  readonly scales: Scales;
  readonly tables: Tensor;
  readonly w: Tensor;
};

/** Elements that a thread decodes: they share a scale. */
const THREAD_ELEMENTS = 32;

/** w (n) f32 or f16 from packed nibbles. A shard has to start at a block. */
export function dequant4bit(rec: Recorder, { n, blockSize, firstBlock, packed, scales, tables, w }: Dequant4bit): void {
  if (blockSize % THREAD_ELEMENTS !== 0)
    throw new KernelCallError('dequant_4bit', `block size ${blockSize} is not a multiple of ${THREAD_ELEMENTS}`);
  const blocks = firstBlock + Math.ceil(n / blockSize);
  const double = scales.kind === 'double';
  // Software drivers run one thread after the other: nothing joins their loads, and a scale decoded once is cheaper.
  const spread = rec.profile.tier !== 'direct';
  rec.dispatch({
    name: 'dequant_4bit',
    when: [...(w.dtype === 'f16' ? ['F16'] : []), ...(double ? ['DOUBLE'] : []), ...(spread ? ['SPREAD'] : [])],
    params: { n, first_block: firstBlock, Q: blockSize, offset_at: double ? scales.nested.elements - 1 : 0 },
    buffers: {
      packed: [packed, Math.ceil(n / 2)],
      tables: [tables, TABLE_LENGTH],
      w: [w, n],
      ...(double
        ? { codes: [scales.codes, blocks], nested: [scales.nested, Math.ceil(blocks / NESTED_BLOCK_SIZE) + 1] }
        : { absmax: [scales.absmax, blocks] }),
    },
    threads: Math.ceil(n / THREAD_ELEMENTS),
  });
}

/** half = x, f32 activations, rounded to f16; what f16 does not hold is flagged. */
export function roundToHalf(rec: Recorder, { x, half }: { x: Tensor; half: Tensor }): void {
  const n = x.elements;
  rec.dispatch({
    name: 'widen',
    when: ['F32', 'TO_F16', 'ACTIVATION'],
    params: { n },
    buffers: { source: [x, n], w: [half, n] },
    threads: Math.ceil(n / 8),
  });
}

/** w (n) f32 or f16 from a weight stored as bf16, f16 or f32. */
export function widen(rec: Recorder, { n, source, w }: { n: number; source: Tensor; w: Tensor }): void {
  if (source.dtype !== 'bf16' && source.dtype !== 'f16' && source.dtype !== 'f32') {
    throw new KernelCallError('widen', `source is ${source.dtype}`);
  }
  rec.dispatch({
    name: 'widen',
    when: [source.dtype.toUpperCase(), ...(w.dtype === 'f16' ? ['TO_F16'] : [])],
    params: { n },
    buffers: { source: [source, n], w: [w, n] },
    threads: Math.ceil(n / 8),
  });
}
