/** A quantized weight as the tensors that bitsandbytes stores it in: same names, types, shapes and bytes. */
import { KernelCallError } from '../errors.ts';
import { CODE_BOOKS, DYNAMIC_CODE } from '../wasm/tables.ts';
import { type CheckpointQuantType, NESTED_BLOCK_SIZE } from '../wasm/types.ts';
import { STATE_SUFFIX } from './bnb4bit.ts';
import { DTYPE_BYTES, type Dtype, elementCount, floatType, rawBytes, type TorchFloat } from './dtype.ts';
import type { Chunks } from './reader.ts';
import type { TensorToWrite } from './safetensors-write.ts';

/** The type under which the packed bytes are stored (`bnb_4bit_quant_storage`); the bytes are the same under each. */
export type QuantStorage = 'uint8' | TorchFloat;

/** One quantized weight. Large parts are functions that give chunks, called when the part is written. */
export type Bnb4bitToWrite = {
  /** Full name, ending in `.weight`. */
  readonly name: string;
  /** (out, in) of the weight before quantization. */
  readonly shape: readonly [number, number];
  /** Its type before it was quantized. */
  readonly dtype: TorchFloat;
  readonly quantType: CheckpointQuantType;
  readonly blockSize: number;
  readonly storage: QuantStorage;
  /** Two codes a byte, the first in the high half. */
  readonly packed: () => Chunks;
  /** F32 scales of the blocks, or U8 codes of them when nested. */
  readonly absmax: () => Chunks;
  /** Double quantization: F32 scales of the codes in blocks of 256, and the f32 value that was subtracted first. */
  readonly nested: { readonly absmax: () => Chunks; readonly offset: number } | null;
};

/** Counts the bytes of packed codes. */
export function packedBytes([out, width]: readonly [number, number]): number {
  return Math.ceil((out * width) / 2);
}

/** Tells whether the packed codes are a whole number of elements of `storage`. */
export function fitsStorage(shape: readonly [number, number], storage: QuantStorage): boolean {
  return packedBytes(shape) % DTYPE_BYTES[storageDtype(storage)] === 0;
}

/**
 * Lists the weight and its companions, for `writeSafetensors`.
 * @throws KernelCallError when the storage type does not divide the packed bytes (`fitsStorage` says so before)
 */
export function bnb4bitTensors(weight: Bnb4bitToWrite): TensorToWrite[] {
  const { name, shape, quantType, blockSize, storage, nested } = weight;
  if (!fitsStorage(shape, storage)) {
    throw new KernelCallError('bnb4bitTensors', `${name}: ${packedBytes(shape)} bytes are no whole ${storage} values`);
  }
  const dtype = storageDtype(storage);
  const blocks = Math.ceil(elementCount(shape) / blockSize);
  const nestedBlocks = Math.ceil(blocks / NESTED_BLOCK_SIZE);
  const record = new TextEncoder().encode(quantRecord(weight));
  const companion = (suffix: string, type: Dtype, count: number, data: () => Chunks): TensorToWrite => ({
    name: `${name}${suffix}`,
    dtype: type,
    shape: [count],
    data,
  });
  return [
    { name, dtype, shape: [packedBytes(shape) / DTYPE_BYTES[dtype], 1], data: weight.packed },
    companion('.absmax', nested === null ? 'F32' : 'U8', blocks, weight.absmax),
    companion('.quant_map', 'F32', 16, () => [rawBytes(CODE_BOOKS[quantType])]),
    ...(nested === null
      ? []
      : [
          companion('.nested_absmax', 'F32', nestedBlocks, nested.absmax),
          companion('.nested_quant_map', 'F32', 256, () => [rawBytes(DYNAMIC_CODE)]),
        ]),
    companion(`${STATE_SUFFIX}${quantType}`, 'U8', record.byteLength, () => [record]),
  ];
}

/** Formats the record beside a weight as Python's json.dumps does, byte for byte what bitsandbytes writes. */
export function quantRecord({ quantType, blockSize, dtype, shape, nested }: Omit<Bnb4bitToWrite, 'name'>): string {
  const fields = [
    `"quant_type": "${quantType}"`,
    `"blocksize": ${blockSize}`,
    `"dtype": "${dtype}"`,
    `"shape": [${shape.join(', ')}]`,
  ];
  if (nested !== null) {
    fields.push(`"nested_blocksize": ${NESTED_BLOCK_SIZE}`, '"nested_dtype": "float32"');
    fields.push(`"nested_offset": ${pythonFloat(nested.offset)}`);
  }
  return `{${fields.join(', ')}}`;
}

/**
 * Formats a double as Python's repr does: the shortest digits that read back as the same number, with an exponent of two
 * digits below 1e-4 and from 1e16 on, and `.0` behind whole numbers.
 */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) throw new KernelCallError('pythonFloat', `${value} has no place in JSON`);
  const [digits = '', exponentText = ''] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const text = Object.is(value, -0) ? '-0' : String(value);
  return Number.isInteger(value) ? `${text}.0` : text;
}

function storageDtype(storage: QuantStorage): Dtype {
  return storage === 'uint8' ? 'U8' : floatType(storage).safetensors;
}
