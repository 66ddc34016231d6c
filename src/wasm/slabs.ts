/** Streams a tensor through lanes, each with one slab at a time: reads run ahead, results come out in order. */
import { DataError } from '../errors.ts';
import { inLanes, type Pool } from './pipeline.ts';
import { bytesPerElement, FLOAT_LAYOUT, type QuantizeArgs, type QuantSpec, type SourceDtype } from './types.ts';

export type SlabJob = { readonly elements: number; readonly dtype: SourceDtype; readonly spec: QuantSpec };

/** Views that are valid until the lane is used again. */
export type SlabResult = {
  readonly source: Uint8Array<ArrayBuffer>;
  readonly packed: Uint8Array<ArrayBuffer>;
  readonly absmax: Float32Array<ArrayBuffer>;
  /** Index of the first element that is NaN or infinite, or -1. */
  readonly badIndex: number;
  /** Seconds that the quantizing thread took, copying in and out included. */
  readonly seconds: number;
};

export interface Lane {
  /** Room for a slab's raw bytes, to be filled before `quantize`. */
  source(byteLength: number): Uint8Array<ArrayBuffer>;
  quantize(job: SlabJob): Promise<SlabResult>;
}

/** Says where the offending element is, and whether its bits are a NaN or an infinity. `flatIndex` counts in the tensor. */
export function nonFiniteError(
  name: string,
  dtype: SourceDtype,
  source: Uint8Array,
  badIndex: number,
  flatIndex: number,
  elements: number,
): DataError {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const { bytes, mantissa } = FLOAT_LAYOUT[dtype];
  const bits = bytes === 4 ? view.getUint32(badIndex * 4, true) : view.getUint16(badIndex * 2, true);
  const isNegative = bits >>> (8 * bytes - 1) === 1;
  const what = (bits & mantissa) !== 0 ? 'NaN' : isNegative ? '-Infinity' : 'Infinity';
  return new DataError(
    name,
    `element ${flatIndex} of ${elements} (${dtype}) is ${what}; a block with it cannot be quantized, all weights must be finite. Was the checkpoint damaged, or saved from a run that diverged?`,
  );
}

/**
 * Quantizes a tensor through `lanes`. @returns its absmax, one f32 a block, and the seconds its lanes took in all
 * @param slabBytes source bytes a lane takes at once, a multiple of 4096 elements
 * @param onAllBegun called when the tensor needs no further lane: the next one may take those that come free
 */
export async function streamSlabs(
  args: QuantizeArgs,
  lanes: Pool<Lane>,
  slabBytes: number,
  onAllBegun: () => void,
): Promise<{ absmax: Float32Array<ArrayBuffer>; seconds: number }> {
  const { name, elements, dtype, spec } = args;
  const size = bytesPerElement(dtype);
  const slab = slabBytes / size;
  const absmax = new Float32Array(Math.ceil(elements / spec.blockSize));
  let seconds = 0;
  await inLanes(lanes, Math.ceil(elements / slab), {
    begin: async (lane: Lane, k): Promise<SlabResult> => {
      const count = Math.min(slab, elements - k * slab);
      await args.read(k * slabBytes, lane.source(count * size));
      return lane.quantize({ elements: count, dtype, spec });
    },
    end: (result, k) => {
      const first = k * slab;
      if (result.badIndex >= 0)
        throw nonFiniteError(name, dtype, result.source, result.badIndex, first + result.badIndex, elements);
      absmax.set(result.absmax, first / spec.blockSize);
      seconds += result.seconds;
      const count = Math.min(slab, elements - first);
      args.onSlab?.(first, result.source.subarray(0, count * size), result.packed);
      args.onPacked(first / 2, result.packed);
    },
    onAllBegun,
  });
  return { absmax, seconds };
}
