/** A checkpoint whose parameters are of another float type: a view that converts what is read, as from_pretrained(dtype=...) does. */
import type { TensorSource } from '../../formats/checkpoint.ts';
import { elementCount, type FloatDtype, floatType, isFloatDtype, type TorchFloat } from '../../formats/dtype.ts';
import type { Codec } from '../../wasm/codec.ts';
import type { SlabReader } from '../../wasm/types.ts';
import { slabReader } from '../slabs.ts';

/** @param parameters names of what is converted; buffers, such as rotary frequencies, are not */
export function convertedSource(
  source: TensorSource,
  codec: Codec,
  to: TorchFloat,
  parameters: ReadonlySet<string>,
): TensorSource {
  const { safetensors: dtype, bytes } = floatType(to);
  const converts = (name: string): boolean => parameters.has(name) && isFloatDtype(source.info(name).dtype);
  return {
    ...source,
    info: (name) => {
      const given = source.info(name);
      return converts(name) ? { ...given, dtype, bytes: elementCount(given.shape) * bytes } : given;
    },
    read: async (name, byteOffset, into) => {
      if (!converts(name)) return source.read(name, byteOffset, into);
      const read: SlabReader = slabReader(codec, source, name, source.info(name).dtype as FloatDtype, to);
      await read(byteOffset, into as Uint8Array<ArrayBuffer>);
    },
  };
}
