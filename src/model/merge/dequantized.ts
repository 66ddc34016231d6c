/** A checkpoint in bitsandbytes' 4-bit form as one of ordinary weights: a view that decodes what is read of it. */
import { KernelCallError } from '../../errors.ts';
import { type Bnb4bitTensor, isBnb4bit, readBnb4bit } from '../../formats/bnb4bit.ts';
import type { StoredTensor, TensorSource } from '../../formats/checkpoint.ts';
import { elementCount, floatType, type TorchFloat } from '../../formats/dtype.ts';
import { dequantize4bit } from '../../wasm/buffers.ts';
import type { Codec } from '../../wasm/codec.ts';
import { decodedAbsmax } from '../../wasm/nested.ts';
import { prequantizedState } from '../prequantized.ts';
import { convert } from '../slabs.ts';

type Decoded = { readonly stored: Bnb4bitTensor; readonly info: StoredTensor };

/**
 * Opens the view. @param as `recorded` gives each weight in the dtype it was quantized from, float32 the same values widened
 * @throws DataError where a quantized tensor contradicts itself
 */
export async function dequantizedSource(
  source: TensorSource,
  codec: Codec,
  as: 'recorded' | 'float32',
): Promise<TensorSource> {
  const quantized = new Map<string, Decoded>();
  for (const name of source.names().filter((weight) => isBnb4bit(source, weight))) {
    const stored = await readBnb4bit(source, name);
    if (stored === null) continue;
    const { safetensors: dtype, bytes } = floatType(as === 'recorded' ? stored.dtype : as);
    const { shape } = stored;
    quantized.set(name, { stored, info: { ...stored.packed, name, dtype, shape, bytes: elementCount(shape) * bytes } });
  }
  const isCompanion = (name: string): boolean => [...quantized.keys()].some((weight) => name.startsWith(`${weight}.`));
  const names = source.names().filter((name) => !isCompanion(name));
  let scales: { readonly name: string; readonly absmax: Float32Array<ArrayBuffer> } | null = null;
  return {
    ...source,
    names: () => names,
    has: (name) => names.includes(name),
    info: (name) => quantized.get(name)?.info ?? source.info(name),
    read: async (name, byteOffset, into) => {
      const found = quantized.get(name);
      if (found === undefined) return source.read(name, byteOffset, into);
      // weights are read one after the other
      if (scales?.name !== name)
        scales = { name, absmax: decodedAbsmax(codec, await prequantizedState(source, name, found.stored)) };
      await decode({ source, codec, name, as, ...found }, scales.absmax, byteOffset, into);
    },
  };
}

type Decoding = Decoded & {
  readonly source: TensorSource;
  readonly codec: Codec;
  readonly name: string;
  readonly as: 'recorded' | 'float32';
};

/** Decodes the blocks that hold the elements asked for. */
async function decode(
  { source, codec, name, as, stored, info }: Decoding,
  absmax: Float32Array<ArrayBuffer>,
  byteOffset: number,
  into: Uint8Array,
): Promise<void> {
  const { blockSize, quantType, dtype, shape } = stored;
  const size = info.bytes / elementCount(shape);
  const [first, count] = [byteOffset / size, into.byteLength / size];
  if (!Number.isInteger(first) || !Number.isInteger(count))
    throw new KernelCallError(name, `is read in parts of elements: ${into.byteLength} bytes from ${byteOffset}`);
  const begin = first - (first % blockSize);
  const end = Math.min(elementCount(shape), Math.ceil((first + count) / blockSize) * blockSize);
  const packed = new Uint8Array(Math.ceil((end - begin) / 2));
  await source.read(stored.packed.name, begin / 2, packed);
  const part = absmax.slice(begin / blockSize, Math.ceil(end / blockSize));
  const state = { nested: false, packedBytes: packed.byteLength, absmax: part } as const;
  const raw = dequantize4bit(codec, { packed, state }, end - begin, { quantType, blockSize }, dtype);
  const values = as === 'recorded' ? raw : convert(codec, raw, floatType(dtype).safetensors, as satisfies TorchFloat);
  into.set(values.subarray((first - begin) * size, (first - begin + count) * size));
}
