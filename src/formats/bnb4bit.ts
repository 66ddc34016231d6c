/** Weights that bitsandbytes quantized to 4 bits and that a checkpoint holds ready-made, found tensor by tensor. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { BLOCK_SIZES, CHECKPOINT_QUANT_TYPES, type CheckpointQuantType } from '../wasm/types.ts';
import { readFloats, type StoredTensor, type TensorSource } from './checkpoint.ts';
import { DTYPE_BYTES, elementCount, isTorchFloat, TORCH_FLOATS, type TorchFloat } from './dtype.ts';
import { type JsonObject, parseObject } from './json.ts';
import { decodeUtf8, place } from './reader.ts';

/** One quantized weight. `packed` and `absmax` are read by name through the source, as raw bytes. */
export type Bnb4bitTensor = {
  readonly quantType: CheckpointQuantType;
  /** Elements per absmax; blocks run over the flat row-major index. */
  readonly blockSize: number;
  /** Shape (out, in) and dtype of the weight before it was quantized. */
  readonly shape: readonly number[];
  readonly dtype: TorchFloat;
  /** Two codes a byte, the first in the high half; the stored dtype and shape mean nothing. */
  readonly packed: StoredTensor;
  /** F32 scales, or U8 codes of them when nested. */
  readonly absmax: StoredTensor;
  /** The 16 values as the file records them. */
  readonly quantMap: Float32Array;
  /** Double quantization: absmax[i] = nestedQuantMap[code[i]] * nested absmax[floor(i / blockSize)] + offset. */
  readonly nested?: { readonly absmax: StoredTensor; readonly offset: number; readonly blockSize: number };
  /** The 256 values of the absmax codes. */
  readonly nestedQuantMap?: Float32Array;
};

/** What stands between a weight's name and the quant type in the name of its record. */
export const STATE_SUFFIX = '.quant_state.bitsandbytes__';
const COMPANIONS = ['absmax', 'quant_map', 'nested_absmax', 'nested_quant_map'];

/** Tells whether the checkpoint holds this weight in bitsandbytes' 4-bit form. */
export function isBnb4bit(source: TensorSource, weight: string): boolean {
  return CHECKPOINT_QUANT_TYPES.some((type) => source.has(`${weight}${STATE_SUFFIX}${type}`));
}

/**
 * Parses and checks one quantized weight, `weight` being the full name ending in `.weight`; null when it is stored
 * plainly. DataError when record, shapes and tensors contradict each other.
 */
export async function readBnb4bit(source: TensorSource, weight: string): Promise<Bnb4bitTensor | null> {
  const states = source.names().filter((name) => name.startsWith(`${weight}${STATE_SUFFIX}`));
  if (states.length === 0) return null;
  const packed = source.info(weight);
  const fail: Fail = (detail) => {
    throw new DataError(place(source, packed.file), `${show(weight)}: ${detail}`);
  };
  if (states.length > 1) return fail(`has ${states.length} quantization records, needs one: ${states.join(', ')}.`);
  const stateName = states[0]!;
  const state = await readState(source, stateName);
  const quantType = state.quant_type;
  if (!isCheckpointQuantType(quantType))
    return fail(`quant_type is ${show(quantType)}; supported are ${CHECKPOINT_QUANT_TYPES.join(', ')}.`);
  if (!stateName.endsWith(quantType))
    return fail(`its record is called ${stateName} and says quant_type ${quantType}.`);
  const { shape, dtype, blocksize } = state;
  if (!isShape(shape)) return fail(`shape is ${show(shape)}, needs the sizes [out, in].`);
  if (!isTorchFloat(dtype)) return fail(`dtype is ${show(dtype)}; supported are ${TORCH_FLOATS.join(', ')}.`);
  if (!isBlockSize(blocksize)) return fail(`blocksize is ${show(blocksize)}; supported are ${BLOCK_SIZES.join(', ')}.`);
  checkNames(source, weight, stateName, fail);
  const count = elementCount(shape);
  const blocks = Math.ceil(count / blocksize);
  const isNested = source.has(`${weight}.nested_absmax`);
  expectBytes(packed, Math.ceil(count / 2), `codes of ${show(shape)}`, fail);
  const absmax = expectTensor(source, `${weight}.absmax`, isNested ? 'U8' : 'F32', blocks, fail);
  const quantMap = await readMap(source, `${weight}.quant_map`, 16, fail);
  const tensor = { quantType, blockSize: blocksize, shape, dtype, packed, absmax, quantMap } as const;
  if (!isNested) return tensor;
  return { ...tensor, ...(await readNested(source, weight, state, blocks, fail)) };
}

type Fail = (detail: string) => never;

async function readNested(
  source: TensorSource,
  weight: string,
  state: JsonObject,
  blocks: number,
  fail: Fail,
): Promise<Required<Pick<Bnb4bitTensor, 'nested' | 'nestedQuantMap'>>> {
  const { nested_blocksize: blockSize, nested_offset: offset, nested_dtype: dtype } = state;
  if (typeof offset !== 'number' || !(offset >= 0 && Math.fround(offset) < Infinity))
    return fail(`nested_offset is ${show(offset ?? null)}, needs a finite number of at least 0: a mean of scales.`);
  if (!isBlockSize(blockSize))
    return fail(`nested_blocksize is ${show(blockSize ?? null)}; supported are ${BLOCK_SIZES.join(', ')}.`);
  if (dtype !== 'float32') return fail(`nested_dtype is ${show(dtype ?? null)}; supported is "float32".`);
  const absmax = expectTensor(source, `${weight}.nested_absmax`, 'F32', Math.ceil(blocks / blockSize), fail);
  const nestedQuantMap = await readMap(source, `${weight}.nested_quant_map`, 256, fail);
  return { nested: { absmax, offset, blockSize }, nestedQuantMap };
}

async function readState(source: TensorSource, name: string): Promise<JsonObject> {
  const { bytes, file } = source.info(name);
  const json = new Uint8Array(bytes);
  await source.read(name, 0, json);
  const where = `${place(source, file)}: ${name}`;
  return parseObject(decodeUtf8(json, where), where);
}

/** Refuses unknown names beside a quantized weight, as bitsandbytes does: a misspelt companion is not overlooked. */
function checkNames(source: TensorSource, weight: string, stateName: string, fail: Fail): void {
  const known = new Set([stateName, ...COMPANIONS.map((companion) => `${weight}.${companion}`)]);
  const foreign = source.names().find((name) => name.startsWith(`${weight}.`) && !known.has(name));
  if (foreign !== undefined) fail(`is accompanied by ${foreign}; known companions are ${COMPANIONS.join(', ')}.`);
  const half = [`${weight}.nested_absmax`, `${weight}.nested_quant_map`].filter((name) => source.has(name));
  if (half.length === 1) fail(`has ${half[0]} only; double quantization needs nested_absmax and nested_quant_map.`);
}

function expectTensor(
  source: TensorSource,
  name: string,
  dtype: 'F32' | 'U8',
  count: number,
  fail: Fail,
): StoredTensor {
  if (!source.has(name)) return fail(`lacks ${name}. The checkpoint is incomplete; fetch it again.`);
  const tensor = source.info(name);
  if (tensor.dtype !== dtype) fail(`${name} is ${tensor.dtype}, needs ${dtype}.`);
  expectBytes(tensor, count * DTYPE_BYTES[dtype], `${count} values`, fail);
  return tensor;
}

function expectBytes(tensor: StoredTensor, bytes: number, what: string, fail: Fail): void {
  if (tensor.bytes !== bytes) fail(`${tensor.name} holds ${tensor.bytes} bytes, needs ${bytes} for ${what}.`);
}

async function readMap(source: TensorSource, name: string, count: number, fail: Fail): Promise<Float32Array> {
  expectTensor(source, name, 'F32', count, fail);
  return readFloats(source, name);
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length === 2 && value.every((size) => Number.isSafeInteger(size) && size > 0);
}

function isCheckpointQuantType(value: unknown): value is CheckpointQuantType {
  return (CHECKPOINT_QUANT_TYPES as readonly unknown[]).includes(value);
}

function isBlockSize(value: unknown): value is number {
  return (BLOCK_SIZES as readonly unknown[]).includes(value);
}
